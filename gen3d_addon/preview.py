"""A coarse ghost of the shape that is being made, drawn over the 3D viewports at the 3D cursor.

A draw handler rather than a temporary object: it never enters the scene, so undo, saving, rendering and other add-ons
do not see it, and nothing is left behind when Blender ends in the middle of a job.
"""

from __future__ import annotations

import bpy
import numpy as np

from .backend.color import linear_to_srgb
from .backend.mesh import Mesh
from .placement import units_per_metre

GHOST_GREY = (0.75, 0.75, 0.75)
OPACITY = 0.75
LIGHT = np.array([-0.4, -0.6, 0.7]) / np.linalg.norm([-0.4, -0.6, 0.7])
AMBIENT = 0.4


def show(mesh: Mesh | None) -> None:
    """Show `mesh` (vertices in metres, standing on z = 0) as the ghost; None takes the ghost away.

    Without a window (background, `bpy` as a module) there is nothing to draw on, and nothing happens.
    """
    if bpy.app.background:
        return
    _ghost.replace(mesh)
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


def ghost_colors(mesh: Mesh) -> np.ndarray:
    """(V, 4) float32 sRGB colours of the ghost, with a fixed light from the upper left so that its form reads."""
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    count = len(mesh.vertices)
    normals = np.stack(
        [
            np.bincount(mesh.faces.ravel(), np.repeat(face_normals[:, axis], 3), minlength=count)[:count]
            for axis in range(3)
        ],
        axis=1,
    )
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    facing = np.clip((normals / np.maximum(lengths, 1e-30)) @ LIGHT, 0.0, 1.0)
    base = mesh.colors if mesh.colors is not None else np.broadcast_to(GHOST_GREY, (count, 3))
    lit = base * (AMBIENT + (1.0 - AMBIENT) * facing)[:, None]
    rgba = np.full((count, 4), OPACITY, dtype=np.float32)
    rgba[:, :3] = linear_to_srgb(np.clip(lit, 0.0, 1.0))
    return rgba


class _Ghost:
    """The mesh that is shown, its buffers on the GPU (made in the first draw) and the handler that draws them."""

    def __init__(self) -> None:
        self._mesh: Mesh | None = None
        self._batch: object | None = None
        self._handler: object | None = None

    def replace(self, mesh: Mesh | None) -> None:
        self._mesh, self._batch = mesh, None
        if mesh is not None and self._handler is None:
            self._handler = bpy.types.SpaceView3D.draw_handler_add(self._draw, (), "WINDOW", "POST_VIEW")
        elif mesh is None and self._handler is not None:
            bpy.types.SpaceView3D.draw_handler_remove(self._handler, "WINDOW")
            self._handler = None

    def _draw(self) -> None:
        import gpu  # needs a window
        from gpu_extras.batch import batch_for_shader

        mesh = self._mesh
        if mesh is None:
            return
        shader = gpu.shader.from_builtin("SMOOTH_COLOR")
        if self._batch is None:
            attributes = {"pos": mesh.vertices, "color": ghost_colors(mesh)}
            self._batch = batch_for_shader(shader, "TRIS", attributes, indices=mesh.faces)
        scene = bpy.context.scene
        gpu.state.blend_set("ALPHA")
        gpu.state.depth_test_set("LESS_EQUAL")
        gpu.state.depth_mask_set(True)
        gpu.state.face_culling_set("BACK")
        try:
            with gpu.matrix.push_pop():
                gpu.matrix.translate(scene.cursor.location)
                gpu.matrix.scale_uniform(units_per_metre(scene))
                self._batch.draw(shader)
        finally:
            gpu.state.face_culling_set("NONE")
            gpu.state.depth_mask_set(False)
            gpu.state.depth_test_set("NONE")
            gpu.state.blend_set("NONE")


_ghost = _Ghost()
