"""The colours of objects in the scene in the form that mesh files hold: one texture for all, or vertex colours.

A material shows what feeds the Base Color of its Principled BSDF: the image upstream of it, else the mesh's colour
attribute, else the socket's own colour. Pictures of several materials become one atlas; faces without a picture find
their colour as a texel of it. So a low-poly mesh keeps sharp borders between its colours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from .backend.color import linear_to_srgb
from .backend.mesh import Mesh

UNPAINTED = (0.8, 0.8, 0.8)
"""Linear colour of faces without a material, where others have one; as Blender shows them."""
ATLAS_SIZE = 2048
"""Texels along each side of an atlas, about: sixteen pictures still have 512 each."""
LARGEST_IMAGE = 4096
"""Pixels along each side; larger images are scaled down by Blender before they are read, but for those that were
painted and not saved yet: a copy would lack the paint."""


@dataclass(frozen=True)
class Paint:
    """What the faces (F, 3) of one object look like.

    face_colors     (F, 3) linear, pictures aside
    pictures        (H, W, 3) uint8 sRGB each, row 0 at v = 1
    picture         (F,) int: the picture on each face; -1 for none
    uvs             (F, 3, 2): where on it
    vertex_colors   (V, 3) linear, or None
    known           whether the object says anything about its colour
    """

    face_colors: np.ndarray
    pictures: list[np.ndarray]
    picture: np.ndarray
    uvs: np.ndarray
    vertex_colors: np.ndarray | None
    known: bool


def paint_of(item: bpy.types.Object, faces: np.ndarray, loops: np.ndarray) -> Paint:
    """The look of an evaluated mesh object with the triangles of `scene.triangles_of`."""
    data: Any = item.data
    materials = [slot.material for slot in item.material_slots]
    slots = np.zeros(len(faces), dtype=np.int32)
    data.loop_triangles.foreach_get("material_index", slots)
    face_colors = np.tile(np.array(UNPAINTED), (len(faces), 1))
    picture = np.full(len(faces), -1)
    uvs = np.zeros((len(faces), 3, 2))
    pictures: list[np.ndarray] = []
    for index, material in enumerate(materials):
        on = slots.clip(0, len(materials) - 1) == index
        if material is None or not on.any():
            continue
        face_colors[on] = base_color(material)
        node = _image_node(material)
        layer = _uv_layer(data, node)
        pixels = None if node is None or layer is None else picture_of(node.image)
        if pixels is not None:
            pictures.append(pixels)
            picture[on] = len(pictures) - 1
            uvs[on] = _loop_uvs(layer, len(data.loops))[loops[on]]
    colors = _attribute_colors(data)
    if colors is not None:
        face_colors = colors[faces].mean(axis=1)
    known = colors is not None or any(material is not None for material in materials)
    return Paint(face_colors, pictures, picture, uvs, colors, known)


def painted(vertices: np.ndarray, faces: np.ndarray, paints: Sequence[Paint]) -> Mesh:
    """One mesh of joined objects, whose vertices and faces lie in the order of their paints."""
    if not any(paint.known for paint in paints):
        return Mesh(vertices, faces)
    counts = [len(paint.picture) for paint in paints]
    plain = np.concatenate([paint.face_colors for paint in paints])
    attributes = [paint.vertex_colors for paint in paints]
    if not any(paint.pictures for paint in paints):
        if all(colors is not None for colors in attributes):
            return Mesh(vertices, faces, np.concatenate([colors for colors in attributes if colors is not None]))
        if len(faces) and (plain == plain[0]).all():
            return Mesh(vertices, faces, np.tile(plain[0], (len(vertices), 1)))
    tiles: list[np.ndarray] = []
    tile, uvs = np.full(len(faces), -1), np.concatenate([paint.uvs for paint in paints])
    for paint, begin in zip(paints, np.cumsum([0, *counts[:-1]]), strict=True):
        tile[begin : begin + len(paint.picture)] = np.where(paint.picture < 0, -1, paint.picture + len(tiles))
        tiles += paint.pictures
    side = ATLAS_SIZE // int(np.ceil(np.sqrt(len(tiles) + 1)))
    for index, pixels in enumerate(tiles):
        on = tile == index
        tiles[index], uvs[on] = _within_one_tile(pixels, uvs[on], side)
    without = tile < 0
    if without.any():
        swatch, uvs[without] = _swatch(plain[without])
        tile[without] = len(tiles)
        tiles.append(swatch)
    texture, uvs = atlas(tiles, tile, uvs)
    return Mesh(vertices, faces, None, None, uvs, texture)


def base_color(material: bpy.types.Material) -> tuple[float, ...]:
    """The linear RGB, in [0, 1], that the material has where nothing is plugged in."""
    shader = _principled(material)
    # The stubs know neither a socket's value nor that Blender's arrays have elements.
    color: Any = shader.inputs["Base Color"].default_value if shader is not None else material.diffuse_color
    return tuple(min(max(color[channel], 0.0), 1.0) for channel in range(3))


def picture_of(image: bpy.types.Image) -> np.ndarray | None:
    """The pixels (H, W, 3) uint8 sRGB of an image, row 0 at the top; None when its file is missing."""
    size: Any = image.size
    width, height = size
    if not width or not height:
        return None
    scaled = None
    if max(width, height) > LARGEST_IMAGE and image.source == "FILE" and not image.is_dirty:
        scaled = image.copy()
        shrink = LARGEST_IMAGE / max(width, height)
        width, height = max(round(width * shrink), 1), max(round(height * shrink), 1)
        scaled.scale(width, height)
    pixels = np.empty(width * height * 4, dtype=np.float32)
    try:
        (scaled or image).pixels.foreach_get(pixels)
    finally:
        if scaled is not None:
            bpy.data.images.remove(scaled)
    rows = np.clip(pixels.reshape(height, width, 4)[::-1, :, :3], 0, 1)
    # Blender keeps the pixels of byte images as they are stored, those of float images linear.
    return np.rint(255 * (linear_to_srgb(rows) if image.is_float else rows)).astype(np.uint8)


def atlas(tiles: Sequence[np.ndarray], tile: np.ndarray, uvs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tiles (H, W, 3) side by side on one texture, and UVs (F, 3, 2) on the tile of each face (F,) as UVs on that."""
    if len(tiles) == 1:
        return tiles[0], uvs
    columns = int(np.ceil(np.sqrt(len(tiles))))
    cell = np.max([pixels.shape[:2] for pixels in tiles], axis=0)
    texture = np.zeros((cell[0] * -(-len(tiles) // columns), cell[1] * columns, 3), dtype=np.uint8)
    height, width = texture.shape[:2]
    placed = np.empty_like(uvs)
    for index, pixels in enumerate(tiles):
        rows, across = pixels.shape[:2]
        top, left = index // columns * cell[0], index % columns * cell[1]
        texture[top : top + rows, left : left + across] = pixels
        on = tile == index
        # Half a texel from the border, so that no reader's rounding leaves the tile.
        placed[on, :, 0] = (left + np.clip(uvs[on, :, 0] * across, 0.5, across - 0.5)) / width
        placed[on, :, 1] = 1 - (top + np.clip((1 - uvs[on, :, 1]) * rows, 0.5, rows - 0.5)) / height
    return texture, placed


def _within_one_tile(pixels: np.ndarray, uvs: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture of at most `side` texels along each side that holds all repetitions the UVs (F, 3, 2) run through."""
    low = np.floor(uvs.min(axis=(0, 1)) + 1e-6)
    spread = np.maximum(np.ceil(uvs.max(axis=(0, 1)) - 1e-6) - low, 1)
    height, width = pixels.shape[:2]
    rows, across = min(side, int(height * spread[1])), min(side, int(width * spread[0]))
    row = ((np.arange(rows) + 0.5) / rows * spread[1] * height).astype(np.int64) % height
    column = ((np.arange(across) + 0.5) / across * spread[0] * width).astype(np.int64) % width
    return pixels[row[:, None], column], (uvs - low) / spread


def _swatch(colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture with one texel for each different colour of (F, 3), linear, and the UVs (F, 3, 2) of those texels."""
    srgb = np.rint(255 * linear_to_srgb(np.clip(colors, 0, 1))).astype(np.uint8)
    different, which = np.unique(srgb, axis=0, return_inverse=True)
    side = int(np.ceil(np.sqrt(len(different))))
    texels = np.zeros((side * side, 3), dtype=np.uint8)
    texels[: len(different)] = different
    row, column = np.divmod(which.reshape(-1), side)
    uvs = np.stack([(column + 0.5) / side, 1 - (row + 0.5) / side], axis=1)
    return texels.reshape(side, side, 3), np.repeat(uvs[:, None], 3, axis=1)


def _principled(material: bpy.types.Material) -> Any:
    nodes = material.node_tree.nodes if material.node_tree is not None else ()
    return next((node for node in nodes if node.bl_idname == "ShaderNodeBsdfPrincipled"), None)


def _image_node(material: bpy.types.Material) -> Any:
    """The nearest image texture upstream of the base colour, through any nodes between; None when there is none."""
    shader = _principled(material)
    for node in _upstream(shader.inputs["Base Color"]) if shader is not None else ():
        if node.bl_idname == "ShaderNodeTexImage" and node.image is not None:
            return node
    return None


def _upstream(socket: Any) -> Iterator[Any]:
    """The nodes that feed a socket, nearest first."""
    waiting, seen = [link.from_node for link in socket.links], set()
    while waiting:
        node = waiting.pop(0)
        if node.name not in seen:
            seen.add(node.name)
            yield node
            waiting += [link.from_node for entry in node.inputs for link in entry.links]


def _uv_layer(data: Any, node: Any) -> Any:
    """The UVs that an image node reads: those of a UV Map node before it, else those that renders use."""
    if node is None or not len(data.uv_layers):
        return None
    named = next(
        (found.uv_map for found in _upstream(node.inputs["Vector"]) if found.bl_idname == "ShaderNodeUVMap"), ""
    )
    in_renders = next((layer for layer in data.uv_layers if layer.active_render), data.uv_layers[0])
    return data.uv_layers.get(named) or in_renders


def _loop_uvs(layer: Any, count: int) -> np.ndarray:
    uvs = np.empty(count * 2, dtype=np.float32)
    layer.uv.foreach_get("vector", uvs)
    return np.nan_to_num(uvs.reshape(-1, 2).astype(np.float64))


def _attribute_colors(data: Any) -> np.ndarray | None:
    """Linear RGB (V, 3) of the active colour attribute; where it has a colour for each corner, their mean."""
    layer = data.color_attributes.active_color
    if layer is None:
        return None
    rgba = np.empty(len(layer.data) * 4, dtype=np.float32)
    layer.data.foreach_get("color", rgba)
    colors = np.clip(np.nan_to_num(rgba.reshape(-1, 4)[:, :3].astype(np.float64)), 0, 1)
    if layer.domain == "POINT":
        return colors
    vertex = np.empty(len(data.loops), dtype=np.int32)
    data.loops.foreach_get("vertex_index", vertex)
    count = len(data.vertices)
    sums = np.stack([np.bincount(vertex, channel, count) for channel in colors.T], axis=1)
    return sums / np.maximum(np.bincount(vertex, minlength=count), 1)[:, None]
