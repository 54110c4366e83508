"""The colours of objects in the scene on their way into a file: materials, images, colour attributes."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

RED, GREEN, BLUE = (1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 0.0, 1.0), (0.0, 0.0, 1.0, 1.0)


@pytest.fixture(autouse=True)
def shapes_folder(session, addon, monkeypatch, tmp_path):
    monkeypatch.setattr(addon("extension"), "shapes_folder", lambda: tmp_path / "shapes")
    return tmp_path / "shapes"


def add_object(name, vertices, faces, uvs=None, location=(0, 0, 0)):
    data = bpy.data.meshes.new(name)
    data.from_pydata(vertices, [], faces)
    if uvs is not None:
        data.uv_layers.new(name="UVMap").uv.foreach_set("vector", np.float32(uvs).ravel())
    item = bpy.data.objects.new(name, data)
    item.location = location
    bpy.context.scene.collection.objects.link(item)
    bpy.context.view_layer.update()
    return item


def square(name, uvs=((0, 0), (1, 0), (1, 1), (0, 1)), location=(0, 0, 0)):
    """From (0, 0) to (1, 1) in the plane z = 0, one face of four corners."""
    return add_object(name, [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], [(0, 1, 2, 3)], uvs, location)


def flat(name, color):
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = color
    return material


def pictured(name, pixels, is_float=False):
    """A material whose base colour is an image; pixels (H, W, 3), row 0 at the bottom as Blender keeps them."""
    height, width = len(pixels), len(pixels[0])
    image = bpy.data.images.new(name, width, height, float_buffer=is_float)
    rgba = np.ones((height, width, 4), np.float32)
    rgba[..., :3] = pixels
    image.pixels.foreach_set(rgba.ravel())
    material = flat(name, RED)
    nodes, links = material.node_tree.nodes, material.node_tree.links
    node, curves = nodes.new("ShaderNodeTexImage"), nodes.new("ShaderNodeRGBCurve")
    node.image = image
    links.new(node.outputs["Color"], curves.inputs["Color"])
    links.new(curves.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])
    return material


def saved(addon, *items):
    """What the backend reads from the file that the add-on writes."""
    from backend.data.mesh_reading import read_mesh

    path = addon("partial_shape").save_objects(items, bpy.context)
    return path.suffix, read_mesh(path)


def colors_at(mesh, places):
    """Linear RGB of the surface at points (x, y) of the plane, as the encoder would see it."""
    from backend.data.surface import SurfacePoints, surface_colors

    found = []
    for place in places:
        corners = mesh.vertices[mesh.faces][..., :2].astype(np.float64)
        sides = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=-1)
        b, c = np.linalg.solve(sides, (place - corners[:, 0])[..., None])[..., 0].T
        weights = np.stack([1 - b - c, b, c], axis=1)
        face = int(np.argmax(weights.min(axis=1)))
        assert weights[face].min() > -1e-6, place
        on = SurfacePoints(np.zeros((1, 3)), np.zeros((1, 3)), np.array([face]), np.float32(weights[face : face + 1]))
        found.append(surface_colors(mesh, on)[0])
    return np.array(found)


def test_an_image_reaches_the_file_upright_and_in_its_colours(session, addon):
    item = square("Poster")
    item.data.materials.append(pictured("Poster", [[(1, 0, 0), (0, 1, 0)], [(0, 0, 1), (0.5, 0.5, 0.5)]]))
    ending, mesh = saved(addon, item)
    assert ending == ".glb"
    middle = ((0.5 + 0.055) / 1.055) ** 2.4  # sRGB's decoding of the grey texel
    np.testing.assert_allclose(
        colors_at(mesh, [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]),
        [RED[:3], GREEN[:3], BLUE[:3], [middle] * 3],
        atol=0.005,
    )


def test_a_float_image_holds_linear_numbers(session, addon):
    item = square("Sky")
    item.data.materials.append(pictured("Sky", [[(0.2, 0.4, 0.6)]], is_float=True))
    _, mesh = saved(addon, item)
    np.testing.assert_allclose(colors_at(mesh, [(0.5, 0.5)]), [[0.2, 0.4, 0.6]], atol=0.005)


def test_an_image_that_repeats_repeats_in_the_file(session, addon):
    item = square("Tiles", uvs=((-1, 0), (1, 0), (1, 2), (-1, 2)))
    item.data.materials.append(pictured("Tiles", [[(1, 0, 0), (0, 1, 0)], [(0, 0, 1), (0, 0, 0)]]))
    _, mesh = saved(addon, item)
    first = [(0.125, 0.125), (0.375, 0.125), (0.125, 0.375), (0.375, 0.375)]
    for right, up in ((0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)):
        places = [(x + right, y + up) for x, y in first]
        np.testing.assert_allclose(colors_at(mesh, places), [RED[:3], GREEN[:3], BLUE[:3], (0, 0, 0)], atol=0.005)


def test_several_materials_keep_their_borders(session, addon):
    """Two flat colours share an edge, which vertex colours would smear; a third material has an image."""
    vertices = [(x, y, 0) for y in (0, 1) for x in range(4)]
    faces = [(x, x + 1, x + 5, x + 4) for x in range(3)]
    item = add_object("Flag", vertices, faces, uvs=[(0, 0), (1, 0), (1, 1), (0, 1)] * 3)
    for material in (flat("Red", RED), flat("Green", GREEN), pictured("Blue", [[(0, 0, 1)] * 3] * 5)):
        item.data.materials.append(material)
    item.data.polygons.foreach_set("material_index", [0, 1, 2])
    _, mesh = saved(addon, item)
    places = [(0.5, 0.5), (0.999, 0.5), (1.001, 0.5), (1.999, 0.5), (2.001, 0.01), (2.99, 0.99)]
    expected = [RED, RED, GREEN, GREEN, BLUE, BLUE]
    np.testing.assert_allclose(colors_at(mesh, places), np.array(expected)[:, :3], atol=0.005)


def test_a_mirrored_object_keeps_its_image_where_it_was(session, addon):
    item = square("Poster")
    item.data.materials.append(pictured("Poster", [[(1, 0, 0), (0, 1, 0)]]))
    item.scale.x = -1
    bpy.context.view_layer.update()
    _, mesh = saved(addon, item)
    np.testing.assert_allclose(colors_at(mesh, [(-0.25, 0.5), (-0.75, 0.5)]), [RED[:3], GREEN[:3]], atol=0.005)


def test_objects_of_all_kinds_together(session, addon):
    """An image, vertex colours, a flat colour, and nothing at all, side by side."""
    items = [square(name, location=(2 * index, 0, 0)) for index, name in enumerate("ABCD")]
    items[0].data.materials.append(pictured("A", [[(0, 0, 1)]]))
    layer = items[1].data.color_attributes.new("Color", "FLOAT_COLOR", "CORNER")
    layer.data.foreach_set("color", np.float32([0.1, 0.2, 0.3, 1] * 4))
    items[2].data.materials.append(flat("C", GREEN))
    _, mesh = saved(addon, *items)
    places = [(0.5, 0.5), (2.5, 0.5), (4.5, 0.5), (6.5, 0.5)]
    expected = [BLUE[:3], (0.1, 0.2, 0.3), GREEN[:3], (0.8, 0.8, 0.8)]
    np.testing.assert_allclose(colors_at(mesh, places), expected, atol=0.01)


@pytest.mark.parametrize("domain", ["POINT", "CORNER"])
@pytest.mark.parametrize("kind", ["FLOAT_COLOR", "BYTE_COLOR"])
def test_vertex_colours_stay_vertex_colours(session, addon, domain, kind):
    item = square("Scan")
    wanted = np.float32([(1, 0, 0, 1), (0, 1, 0, 1), (0, 0, 1, 1), (0.2, 0.2, 0.2, 1)])
    item.data.color_attributes.new("Color", kind, domain).data.foreach_set("color", wanted.ravel())
    ending, mesh = saved(addon, item)
    assert ending == ".ply" and mesh.texture is None
    order = [
        int(np.argmin(np.linalg.norm(mesh.vertices[:, :2] - place, axis=1)))
        for place in ((0, 0), (1, 0), (1, 1), (0, 1))
    ]
    np.testing.assert_allclose(mesh.colors[order], wanted[:, :3], atol=0.01)


def test_one_flat_material_and_no_material(session, addon):
    item = square("Wall")
    ending, mesh = saved(addon, item)
    assert ending == ".ply" and mesh.colors is None
    item.data.materials.append(flat("Paint", BLUE))
    ending, mesh = saved(addon, item)
    assert ending == ".ply"
    np.testing.assert_allclose(mesh.colors, [BLUE[:3]] * 4, atol=0.005)


def test_an_image_whose_file_is_missing_counts_as_none(session, addon, tmp_path):
    material = pictured("Lost", [[(0, 0, 1)]])
    node = next(node for node in material.node_tree.nodes if node.bl_idname == "ShaderNodeTexImage")
    node.image = bpy.data.images.new("Lost", 1, 1)
    node.image.source, node.image.filepath = "FILE", str(tmp_path / "nowhere.png")
    item = square("Wall")
    item.data.materials.append(material)
    ending, mesh = saved(addon, item)
    assert ending == ".ply"
    np.testing.assert_allclose(mesh.colors, [RED[:3]] * 4, atol=0.005)


def test_a_very_large_image_is_read_smaller_and_itself_left_alone(session, addon, monkeypatch, tmp_path):
    appearance = addon("appearance")
    monkeypatch.setattr(appearance, "LARGEST_IMAGE", 8)
    painted = bpy.data.images.new("Large", 32, 16)
    painted.pixels.foreach_set(np.tile(np.float32([0, 1, 0, 1]), 32 * 16))
    whole = appearance.picture_of(painted)
    assert whole.shape == (16, 32, 3) and (whole == (0, 255, 0)).all(), "what is not saved yet is not lost"
    painted.filepath_raw, painted.file_format = str(tmp_path / "large.png"), "PNG"
    painted.save()
    image = bpy.data.images.load(str(tmp_path / "large.png"))
    pixels = appearance.picture_of(image)
    assert pixels.shape == (4, 8, 3) and tuple(image.size) == (32, 16) and len(bpy.data.images) == 2
    assert (pixels == (0, 255, 0)).all()
