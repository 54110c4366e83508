"""Materials for generated meshes: the colours show in Solid, EEVEE and Cycles alike.

Rendered views read the baked texture (or, without one, the colour attribute) through a Principled BSDF. Solid view has
three ways to colour an object and the material serves them all: "Material" shows the mean colour, "Texture" the active
image node, "Attribute" the mesh's active colour attribute.
"""

from __future__ import annotations

import bpy
import numpy as np

from .backend.color import srgb_to_linear
from .backend.mesh import Mesh

COLOR_ATTRIBUTE = "Color"
UV_LAYER = "UVMap"
ROUGHNESS = 0.6
NEUTRAL_GREY = (0.6, 0.6, 0.6)
ENOUGH_FACES = 20_000  # for a mean colour


def add_image(name: str, texture: np.ndarray) -> bpy.types.Image:
    """Make a packed image of an (H, W, 3) uint8 sRGB texture whose row 0 is the top."""
    height, width, _ = texture.shape
    image = bpy.data.images.new(name, width, height, alpha=False)
    pixels = np.ones((height, width, 4), dtype=np.float32)
    pixels[:, :, :3] = texture[::-1].astype(np.float32) / 255.0  # Blender's rows start at the bottom
    image.pixels.foreach_set(pixels.ravel())
    image.pack()  # the .blend carries it; nothing is left on disk
    return image


def add_view(name: str, view: np.ndarray) -> bpy.types.Image:
    """Make a packed image of an (H, W, 4) uint8 sRGB picture with alpha whose row 0 is the top."""
    height, width, _ = view.shape
    image = bpy.data.images.new(name, width, height, alpha=True)
    image.pixels.foreach_set((view[::-1].astype(np.float32) / 255.0).ravel())
    image.pack()
    image.use_fake_user = True  # nothing in the scene shows it, but it was asked for
    return image


def add_material(name: str, mesh: Mesh, image: bpy.types.Image | None) -> bpy.types.Material:
    """Make a Principled material that shows `image`, else the colour attribute, else a neutral grey."""
    material = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0, 0):  # from 5.0 on every material has nodes and the switch is deprecated
        material.use_nodes = True
    material.diffuse_color = (*mean_color(mesh), 1.0)
    tree = material.node_tree
    surface = next(node for node in tree.nodes if node.bl_idname == "ShaderNodeBsdfPrincipled")
    surface.inputs["Roughness"].default_value = ROUGHNESS
    surface.inputs["Base Color"].default_value = material.diffuse_color
    material.roughness = ROUGHNESS
    if image is not None:
        source = tree.nodes.new("ShaderNodeTexImage")
        source.image = image
    elif mesh.colors is not None:
        source = tree.nodes.new("ShaderNodeVertexColor")
        source.layer_name = COLOR_ATTRIBUTE
    else:
        return material
    source.location = surface.location.x - 320.0, surface.location.y
    tree.links.new(source.outputs["Color"], surface.inputs["Base Color"])
    tree.nodes.active = source  # what Solid view's "Texture" shows and what texture painting edits
    return material


def mean_color(mesh: Mesh) -> tuple[float, float, float]:
    """The mesh's mean linear RGB, by area where vertex colours are known."""
    if mesh.colors is not None:
        faces = mesh.faces[:: max(1, len(mesh.faces) // ENOUGH_FACES)]
        corners = mesh.vertices[faces].astype(np.float64)
        areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        if areas.sum() > 0.0:
            red, green, blue = np.average(mesh.colors[faces].mean(axis=1), axis=0, weights=areas)
            return float(red), float(green), float(blue)
    if mesh.texture is not None:
        red, green, blue = srgb_to_linear(mesh.texture.reshape(-1, 3) / 255.0).mean(axis=0)
        return float(red), float(green), float(blue)
    return NEUTRAL_GREY


def show_colors_in_solid(scene: bpy.types.Scene) -> None:
    """Let Solid views of `scene` that show plain material colours show textures.

    Objects without a texture look the same as before. Views that the user has set to anything else are left alone.
    """
    for window in bpy.context.window_manager.windows if bpy.context.window_manager else ():
        if window.scene != scene:
            continue
        for area in window.screen.areas:
            if area.type == "VIEW_3D" and area.spaces.active.shading.color_type == "MATERIAL":
                area.spaces.active.shading.color_type = "TEXTURE"
