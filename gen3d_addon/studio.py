"""A neutral studio for pictures of objects: camera, soft lights and a seamless light-grey backdrop.

The camera looks from the front right, a little from above, and stands as near as it can with every vertex in the
picture. The Standard view transform keeps colours as they are; AgX would wash them out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector

from .backend.recipe import MachineError
from .files import replacing

COLLECTION = "Gen3D Studio"
AZIMUTH = math.radians(35.0)  # of the camera, from the front (-Y) towards the right (+X)
ELEVATION = math.radians(20.0)
LENS = 60.0  # mm on a 36 mm sensor
MARGIN = 1.18  # empty border around the object
BACKDROP_GREY = 0.72
WORLD_GREY = 0.9
SAMPLES_WITHOUT_DENOISER = 4  # times as many
# Name, direction from the object (x: right of the camera, y: towards it, z: up), size and irradiance; all in radii.
LIGHTS = (
    ("Key", (-1.0, 1.0, 1.5), 6.0, 1.4),
    ("Fill", (1.5, 0.8, 0.6), 8.0, 0.4),
    ("Rim", (0.6, -1.0, 2.0), 5.0, 0.8),
)
LIGHT_DISTANCE = 9.0  # radii


def build(scene: bpy.types.Scene, subjects: Sequence[bpy.types.Object]) -> bpy.types.Collection:
    """Put a studio around `subjects` (mesh objects in `scene`) and make its camera the scene's; returns its collection.

    Raises:
        ValueError: the subjects have no vertices.
    """
    points = _world_points(subjects)
    low, high = points.min(axis=0), points.max(axis=0)
    center = Vector((low + high) / 2.0)
    radius = max(float(np.linalg.norm(high - low)) / 2.0, 1e-6)
    turn = Matrix.Rotation(AZIMUTH, 4, "Z")  # studio space: -Y towards the camera's side of the object
    studio = bpy.data.collections.new(COLLECTION)
    scene.collection.children.link(studio)
    camera = _camera(points)
    studio.objects.link(camera)
    scene.camera = camera
    for name, (right, near, up), size, irradiance in LIGHTS:
        direction = (turn @ Vector((right, -near, up))).normalized()
        studio.objects.link(_light(name, center, direction, radius, size, irradiance))
    foot = Vector((center.x, center.y, float(low[2])))
    studio.objects.link(_backdrop(Matrix.Translation(foot) @ turn @ Matrix.Scale(radius, 4)))
    scene.world = _world()
    return studio


def render(scene: bpy.types.Scene, path: Path, *, size: int = 600, samples: int = 16, threads: int = 0) -> None:
    """Render `scene` with Cycles on the CPU to a square PNG of `size` pixels; the file appears only when it is whole.

    samples: for each pixel, with OpenImageDenoise; a Blender built without it takes four times as many.
    threads: 0 takes all cores.

    Raises:
        MachineError: the picture could not be written.
    """
    settings = scene.render
    settings.engine = "CYCLES"
    settings.resolution_x = settings.resolution_y = size
    settings.resolution_percentage = 100
    settings.threads_mode = "FIXED" if threads else "AUTO"
    if threads:
        settings.threads = threads
    settings.image_settings.file_format = "PNG"
    settings.image_settings.color_mode = "RGB"
    scene.view_settings.view_transform = "Standard"
    scene.view_settings.look = "None"
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.use_adaptive_sampling = True
    cycles.adaptive_threshold = 0.02
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 4, 2, 2
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.use_denoising = _has_denoiser(scene)
    cycles.samples = samples if cycles.use_denoising else samples * SAMPLES_WITHOUT_DENOISER
    cycles.seed = 0
    with replacing(path) as unfinished:
        settings.filepath = str(unfinished)
        try:
            bpy.ops.render.render(write_still=True, scene=scene.name)
        except RuntimeError as error:
            raise MachineError(f"The picture {path} could not be rendered: {str(error).strip()}") from error


def _has_denoiser(scene: bpy.types.Scene) -> bool:
    """Whether this Blender has OpenImageDenoise; if so it is chosen."""
    try:
        scene.cycles.denoiser = "OPENIMAGEDENOISE"
    except TypeError:  # not among the choices of this build
        return False
    return True


def _world_points(subjects: Sequence[bpy.types.Object]) -> np.ndarray:
    """All the subjects' vertices, (N, 3) float64 in world space."""
    clouds = []
    for subject in subjects:
        positions = np.empty(len(subject.data.vertices) * 3, dtype=np.float32)
        subject.data.attributes["position"].data.foreach_get("vector", positions)
        matrix = np.array(subject.matrix_world)
        clouds.append(positions.reshape(-1, 3).astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3])
    points = np.concatenate(clouds) if clouds else np.empty((0, 3))
    if not len(points):
        raise ValueError("A studio needs an object with vertices.")
    return points


def _camera(points: np.ndarray) -> bpy.types.Object:
    """A camera at the nearest place from which all of `points` (N, 3) lie in a square picture with a margin.

    With t the tangent of half the field of view, a point at (x, y, z) in view axes (z towards the camera) is inside
    when |x - a| <= (d - z) t and |y - b| <= (d - z) t; the extremes of x + z t and x - z t give the least d in closed
    form.
    """
    toward = Vector(
        (math.sin(AZIMUTH) * math.cos(ELEVATION), -math.cos(AZIMUTH) * math.cos(ELEVATION), math.sin(ELEVATION))
    )
    rotation = toward.to_track_quat("Z", "Y").to_matrix()  # columns: right, up, towards the camera
    axes = np.array(rotation)
    x, y, z = (points @ axes).T
    data = bpy.data.cameras.new("Studio Camera")
    data.lens, data.sensor_width, data.sensor_fit = LENS, 36.0, "HORIZONTAL"
    t = data.sensor_width / 2.0 / LENS / MARGIN
    ranges = [((c + z * t).max(), (c - z * t).min()) for c in (x, y)]
    distance = max((high - low) / (2.0 * t) for high, low in ranges)
    place = axes @ np.array([(high + low) / 2.0 for high, low in ranges] + [distance])
    extent = float(np.ptp(points, axis=0).max()) or 1.0
    data.clip_start, data.clip_end = extent * 0.01, extent * 1000.0
    camera = bpy.data.objects.new("Studio Camera", data)
    camera.matrix_world = Matrix.Translation(Vector(place)) @ rotation.to_4x4()
    return camera


def _light(
    name: str, center: Vector, direction: Vector, radius: float, size: float, irradiance: float
) -> bpy.types.Object:
    """A round area light that shines from `direction` on `center`, where `irradiance` W/m2 arrive at any scale."""
    data = bpy.data.lights.new(f"Studio {name}", "AREA")
    data.shape, data.size = "DISK", size * radius
    distance = LIGHT_DISTANCE * radius
    data.energy = irradiance * math.pi * distance**2  # a Lambertian emitter sends power / pi along its axis
    place = center + direction * distance
    light = bpy.data.objects.new(f"Studio {name}", data)
    light.matrix_world = Matrix.Translation(place) @ direction.to_track_quat("Z", "Y").to_matrix().to_4x4()
    return light


def _backdrop(place: Matrix) -> bpy.types.Object:
    """A floor that curves up into a wall behind the object (a cyclorama), in units of the object's radius."""
    bend = [(5.0 + 5.0 * math.sin(a), 5.0 - 5.0 * math.cos(a)) for a in np.linspace(0.0, math.pi / 2.0, 24)]
    profile = [(-60.0, 0.0), *bend, (10.0, 60.0)]
    vertices = [(side * 80.0, y, z) for y, z in profile for side in (-1.0, 1.0)]
    faces = [(2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2) for i in range(len(profile) - 1)]
    data = bpy.data.meshes.new("Studio Backdrop")
    data.from_pydata(vertices, [], faces, shade_flat=False)
    material = bpy.data.materials.new("Studio Backdrop")
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True
    surface = next(node for node in material.node_tree.nodes if node.bl_idname == "ShaderNodeBsdfPrincipled")
    surface.inputs["Base Color"].default_value = (BACKDROP_GREY, BACKDROP_GREY, BACKDROP_GREY, 1.0)
    surface.inputs["Roughness"].default_value = 1.0
    surface.inputs["Specular IOR Level"].default_value = 0.0
    material.diffuse_color = (BACKDROP_GREY, BACKDROP_GREY, BACKDROP_GREY, 1.0)
    data.materials.append(material)
    backdrop = bpy.data.objects.new("Studio Backdrop", data)
    backdrop.matrix_world = place
    return backdrop


def _world() -> bpy.types.World:
    world = bpy.data.worlds.new(COLLECTION)
    if bpy.app.version < (5, 0, 0):
        world.use_nodes = True
    tree = world.node_tree
    background = next((node for node in tree.nodes if node.bl_idname == "ShaderNodeBackground"), None)
    if background is None:
        background = tree.nodes.new("ShaderNodeBackground")
        output = tree.nodes.new("ShaderNodeOutputWorld")
        tree.links.new(background.outputs["Background"], output.inputs["Surface"])
    background.inputs["Color"].default_value = (WORLD_GREY, WORLD_GREY, WORLD_GREY, 1.0)
    background.inputs["Strength"].default_value = 0.6
    return world
