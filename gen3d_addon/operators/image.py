"""Image to 3D: generate from a picture, get one from the clipboard or the camera, add the picture's camera."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import bpy

from .. import extension, picture_files, properties, scene, session, viewpoints
from ..backend.data.mesh_encodings import png_bytes
from ..backend.data.mesh_files import write_files
from ..backend.recipe import InputError, MachineError, Recipe
from . import Answer
from .refusal import refuse


class GEN3D_OT_generate_image(bpy.types.Operator):
    """Make a mesh from the picture; it appears at the 3D cursor when it is done"""

    bl_idname = "gen3d.generate_image"
    bl_label = "Generate"

    def execute(self, context: bpy.types.Context) -> Answer:
        try:
            target = extension.open_scene(context)
            session.current().submit(_recipes(properties.image_settings(target)), target)
        except (InputError, MachineError) as error:
            return refuse(self, error)
        return {"FINISHED"}


def _recipes(settings: Any) -> list[Recipe]:
    """The recipes that the image settings ask for. Raises InputError or MachineError."""
    if settings.picture is None:
        raise InputError("There is no picture: open one, paste one, or render the active camera's view.")
    picture = str(picture_files.file_of(settings.picture))
    mask = None if settings.mask is None else str(picture_files.file_of(settings.mask))
    return properties.image_recipes(settings, picture, mask)


class GEN3D_OT_paste_picture(bpy.types.Operator):
    """Take the picture that is in the clipboard"""

    bl_idname = "gen3d.paste_picture"
    bl_label = "Paste"

    def execute(self, context: bpy.types.Context) -> Answer:
        try:
            pasted = _pasted(context)
        except InputError as error:
            return refuse(self, error)
        properties.image_settings(extension.open_scene(context)).picture = pasted
        return {"FINISHED"}


def _pasted(context: bpy.types.Context) -> bpy.types.Image:
    """The clipboard's picture. Blender pastes into an image editor alone, so the area is one for a moment."""
    if context.window is None or context.area is None:
        raise InputError("The clipboard can only be read in Blender's window.")
    area, before = context.area, set(bpy.data.images)
    kind = area.type
    try:
        area.type = "IMAGE_EDITOR"
        with context.temp_override(window=context.window, area=area, region=area.regions[-1]):
            bpy.ops.image.clipboard_paste()
    except (RuntimeError, AttributeError) as error:
        raise InputError(
            "There is no picture in the clipboard, or Blender cannot read it on this system: open it from a file."
        ) from error
    finally:
        area.type = kind
    made = [image for image in bpy.data.images if image not in before]
    if not made:
        raise InputError("There is no picture in the clipboard: copy one, or open it from a file.")
    made[0].pack()
    return made[0]


class GEN3D_OT_render_picture(bpy.types.Operator):
    """Render what the active camera sees on transparent ground, and take that as the picture"""

    bl_idname = "gen3d.render_picture"
    bl_label = "Render"

    def execute(self, context: bpy.types.Context) -> Answer:
        target = extension.open_scene(context)
        try:
            if target.camera is None:
                raise InputError("The scene has no active camera: add one, or open a picture.")
            properties.image_settings(target).picture = _rendered(target)
        except InputError as error:
            return refuse(self, error)
        return {"FINISHED"}


def _rendered(target: bpy.types.Scene) -> bpy.types.Image:
    """A packed picture of the active camera's view; the scene's settings are as before afterwards."""
    render = target.render
    with tempfile.TemporaryDirectory(prefix="gen3d-") as folder:
        path = Path(folder) / "render.png"
        kept = render.film_transparent, render.filepath, render.image_settings.file_format
        color_mode = render.image_settings.color_mode
        try:
            render.film_transparent, render.filepath = True, str(path)
            render.image_settings.file_format = "PNG"
            render.image_settings.color_mode = "RGBA"
            bpy.ops.render.render(write_still=True, scene=target.name)
        except RuntimeError as error:
            raise InputError(f"The camera's view cannot be rendered: {str(error).strip()}") from error
        finally:
            render.film_transparent, render.filepath, render.image_settings.file_format = kept
            render.image_settings.color_mode = color_mode
        image = bpy.data.images.load(str(path))
        image.name = f"{target.camera.name} render"
        image.pack()
    return image


class GEN3D_OT_preview_mask(bpy.types.Operator):
    """Show what would be taken of the picture, before anything is made of it"""

    bl_idname = "gen3d.preview_mask"
    bl_label = "Preview Mask"

    def execute(self, context: bpy.types.Context) -> Answer:
        try:
            settings = properties.image_settings(extension.open_scene(context))
            session.current().ask_look(_recipes(settings)[0], settings.picture.name)
        except (InputError, MachineError) as error:
            return refuse(self, error)
        return {"FINISHED"}


class GEN3D_OT_save_views(bpy.types.Operator):
    """Save the pictures of the other sides that were kept when the object was made, as PNG files in a folder"""

    bl_idname = "gen3d.save_views"
    bl_label = "Save Views"

    directory: bpy.props.StringProperty(subtype="DIR_PATH", options={"SKIP_SAVE"})  # type: ignore[valid-type]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return bool(scene.views_of(context.active_object))

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> Answer:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> Answer:
        views = scene.views_of(context.active_object)
        folder = Path(bpy.path.abspath(self.directory))
        try:
            if not views:
                raise InputError("The active object has no views: make it with Keep Views, under Advanced.")
            write_files({folder / f"{image.name}.png": png_bytes(picture_files.pixels_of(image)) for image in views})
        except (InputError, MachineError) as error:
            return refuse(self, error)
        self.report({"INFO"}, f"{len(views)} views were saved to {folder}.")
        return {"FINISHED"}


class GEN3D_OT_add_camera(bpy.types.Operator):
    """Add a camera that sees the active object as the picture does which it was made from"""

    bl_idname = "gen3d.add_camera"
    bl_label = "Add Camera"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.mode == "OBJECT" and scene.viewpoint_of(context.active_object) is not None

    def execute(self, context: bpy.types.Context) -> Answer:
        item = context.active_object
        kept = scene.viewpoint_of(item)
        try:
            if item is None or kept is None:
                raise InputError("The active object was not made from a picture: select one that was.")
            viewpoints.add_camera(item, kept, extension.open_scene(context))
        except InputError as error:
            return refuse(self, error)
        return {"FINISHED"}
