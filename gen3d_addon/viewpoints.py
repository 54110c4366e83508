"""The camera that reproduces the picture which an object was made from: stored on the object, added when asked for."""

from __future__ import annotations

import json
import math

import bpy
import numpy as np
from mathutils import Matrix

from .backend.recipe import InputError, Viewpoint
from .placement import units_per_metre

SENSOR = 32.0  # millimetres; any would do, as the lens follows from it


def stored(viewpoint: Viewpoint, transform: np.ndarray, scene: bpy.types.Scene) -> str:
    """What to keep on the object: the camera in the object's own frame and in scene units, as JSON.

    transform: (4, 4), from model space to metres, as `Result` has it.
    """
    scale = float(np.cbrt(np.linalg.det(transform[:3, :3])))
    matrix = transform @ viewpoint.matrix
    matrix[:3, :3] /= scale
    matrix[:3, 3] *= units_per_metre(scene)
    return json.dumps(
        {"matrix": matrix.tolist(), "field_of_view": viewpoint.field_of_view, "shift": list(viewpoint.shift)}
    )


def add_camera(item: bpy.types.Object, kept: str, scene: bpy.types.Scene) -> bpy.types.Object:
    """Add the camera to the scene, where it sees the object as the picture does. Raises InputError when what is stored
    on the object is no camera.

    Its field of view counts from the picture's bottom to its top, so in a square render it is the picture's own.
    """
    try:
        document = json.loads(kept)
        matrix = Matrix(document["matrix"])
        angle, (across, up) = float(document["field_of_view"]), document["shift"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("The object's camera cannot be read: make the object again.") from error
    data = bpy.data.cameras.new(f"{item.name} camera")
    data.sensor_fit = "VERTICAL"
    data.sensor_width = data.sensor_height = SENSOR
    data.lens = SENSOR / (2 * math.tan(angle / 2))
    data.shift_x, data.shift_y = across, up
    camera = bpy.data.objects.new(data.name, data)
    camera.matrix_world = item.matrix_world @ matrix
    scene.collection.objects.link(camera)
    if scene.camera is None:
        scene.camera = camera
    return camera
