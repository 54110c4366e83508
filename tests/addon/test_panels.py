"""What the panels show, drawn into a layout that writes down what it is told."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest


class Layout:
    """Stands in for UILayout: every row, column and box writes into one list."""

    def __init__(self, drawn: list[tuple[str, Any]] | None = None) -> None:
        self.drawn = [] if drawn is None else drawn

    def row(self, **_: object) -> Layout:
        return Layout(self.drawn)

    column = box = split = row

    def prop(self, data: Any, name: str, **_: object) -> None:
        assert name in data.bl_rna.properties, name
        self.drawn.append(("prop", name))

    def operator(self, name: str, **options: Any) -> SimpleNamespace:
        group, operator = name.split(".")
        getattr(getattr(bpy.ops, group), operator).get_rna_type()  # raises when there is no such operator
        assert options.get("icon", "NONE") in icons()
        made = SimpleNamespace()
        self.drawn.append(("operator", (name, options.get("text"), made)))
        return made

    def template_ID(self, data: Any, name: str, **options: Any) -> None:  # noqa: N802 - its name in Blender
        assert name in data.bl_rna.properties, name
        self.drawn.append(("prop", name))

    def template_icon(self, *, icon_value: int, scale: float) -> None:
        self.drawn.append(("icon", icon_value))

    def label(self, *, text: str, icon: str = "NONE") -> None:
        assert icon in icons()
        self.drawn.append(("label", text))

    def progress(self, *, factor: float, type: str, text: str) -> None:
        assert type in ("BAR", "RING") and 0.0 <= factor <= 1.0
        self.drawn.append(("progress", text))

    def template_list(
        self, list_type: str, _id: str, data: Any, name: str, active: Any, active_name: str, **_: Any
    ) -> None:
        assert hasattr(data, name) and hasattr(active, active_name)
        self.drawn.append(("list", list_type))

    def of(self, kind: str) -> list[Any]:
        return [what for drawn, what in self.drawn if drawn == kind]

    def operators(self) -> list[str]:
        return [name for name, _, _ in self.of("operator")]

    def text(self) -> str:
        return " ".join(self.of("label"))


def icons() -> set[str]:
    return set(bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items.keys())


def stand_in(panel: type) -> Any:
    """An object with all that a panel's classes have of this add-on, as Blender alone makes panels."""
    own = [base for base in panel.__mro__ if base.__module__.startswith("gen3d")]
    members: dict[str, Any] = {}
    for base in reversed(own):
        members |= {name: member for name, member in vars(base).items() if not name.startswith("__")}
    return type(panel.__name__, (), members)()


@pytest.fixture
def draw(session, addon, monkeypatch):
    """Draws a panel by name; the interpreter counts as checked and good unless the test says otherwise."""
    session.health._health = addon("runtime").Health(True, "Ready: Python 3.11 on cpu.")
    panels = addon("panels")

    def drawn(name: str) -> Layout:
        layout = Layout()
        panel = stand_in(getattr(panels, name))
        panel.layout = layout
        panel.draw(bpy.context)
        return layout

    return drawn


def test_the_panel_has_what_the_method_takes_and_a_button(draw):
    layout = draw("GEN3D_PT_text")
    assert layout.of("prop") == ["prompt", "method", "seed", "variations", "detail", "face_count"]
    assert layout.operators() == ["gen3d.random_seed", "gen3d.generate_text"]
    assert draw("GEN3D_PT_text_advanced").of("prop") == ["guidance_scale", "steps"]
    bpy.context.scene.gen3d_text.method = "sds"
    assert draw("GEN3D_PT_text").of("prop")[4:] == ["detail", "face_count", "iterations", "start"]
    assert draw("GEN3D_PT_text_advanced").of("prop") == [
        "distillation_guidance",
        "text_prior",
        "saving",
        "checkpoint",
    ]


def test_an_image_panel_asks_for_a_picture_a_mask_and_a_method(draw):
    settings = bpy.context.scene.gen3d_image
    layout = draw("GEN3D_PT_image")
    common = ["picture", "mask", "mask_model", "prompt", "method", "seed", "variations", "detail", "face_count"]
    common.append("elevation")
    assert layout.of("prop") == common and layout.of("icon") == []
    assert layout.operators() == [
        "gen3d.paste_picture",
        "gen3d.render_picture",
        "gen3d.preview_mask",
        "gen3d.random_seed",
        "gen3d.generate_image",
    ]
    settings.picture = bpy.data.images.new("photo", 8, 8)
    settings.method = "multiview"
    layout = draw("GEN3D_PT_image")
    assert layout.of("prop") == [*common, "iterations"] and len(layout.of("icon")) == 1
    assert "checkpoint" not in layout.of("prop")
    assert {"keep_views", "view_model", "saving", "checkpoint"} <= set(draw("GEN3D_PT_image_advanced").of("prop"))


def test_what_is_taken_of_the_picture_is_drawn_once_it_is_known(draw, session, addon):
    image = bpy.context.scene.gen3d_image.picture = bpy.data.images.new("photo", 8, 8)
    assert "What is taken" not in draw("GEN3D_PT_image").text()
    glimpsed = addon("worker_client").Glimpsed(1, np.zeros((4, 4, 3), np.uint8), "What is taken", math.nan)
    session.looked_at, session.seen = image.name, glimpsed
    assert "What is taken" in draw("GEN3D_PT_image").text()


def test_an_object_with_views_can_save_them(draw, addon):
    item = bpy.data.objects.new("vase", bpy.data.meshes.new("vase"))
    bpy.context.scene.collection.objects.link(item)
    bpy.context.view_layer.objects.active = item
    item["gen3d_recipe"] = image_recipe(addon, "multiview").to_json()
    assert "gen3d.save_views" not in draw("GEN3D_PT_active_object").operators()
    item["gen3d_view_01"] = bpy.data.images.new("view", 4, 4)
    assert "gen3d.save_views" in draw("GEN3D_PT_active_object").operators()


def test_while_it_optimises_there_are_the_render_the_loss_and_stop_and_keep(draw, session, until, addon):
    job = session.queue.submit(image_recipe(addon, "multiview", prompt="optimise"))
    until(lambda: (session.tick(), job.glimpse)[1])
    layout = draw("GEN3D_PT_image")
    assert "What comes of it · loss 0.5000" in layout.text()
    assert [name for name, _, _ in layout.of("operator") if name in ("gen3d.stop_and_keep", "gen3d.cancel")] == [
        "gen3d.stop_and_keep",
        "gen3d.cancel",
    ]
    bpy.ops.gen3d.stop_and_keep()
    until(lambda: (session.tick(), not session.queue.busy)[1])
    assert job.state is addon("jobs").JobState.DONE


def image_recipe(addon, method, **values):
    return addon("backend.recipe").Recipe.create("image_to_3d", method, picture="photo.png", **values)


def test_completion_asks_for_a_box_unless_it_is_a_scan(draw):
    settings = bpy.context.scene.gen3d_completion
    layout = draw("GEN3D_PT_completion")
    shared = ["prompt", "method", "seed", "variations", "detail", "face_count", "keep_original", "mirror"]
    assert layout.of("prop") == ["known", "box", *shared]
    assert layout.operators() == ["gen3d.random_seed", "gen3d.complete"]
    settings.known = "SCAN"
    assert draw("GEN3D_PT_completion").of("prop") == ["known", *shared]
    assert draw("GEN3D_PT_completion_advanced").of("prop") == ["guidance_scale", "steps"]


def test_completion_shows_what_the_chosen_method_has(draw):
    settings = bpy.context.scene.gen3d_completion
    settings.method = "autoregressive"
    assert "prompt" not in draw("GEN3D_PT_completion").of("prop")
    assert draw("GEN3D_PT_completion_advanced").of("prop") == ["steps", "temperature"]
    settings.method = "points"
    assert "checkpoint" in draw("GEN3D_PT_completion").of("prop")
    assert draw("GEN3D_PT_completion_advanced").of("prop") == []


def test_all_panels_are_in_the_tab(addon):
    panels = addon("panels")
    shown = [panel for panel in addon("registration").CLASSES if issubclass(panel, bpy.types.Panel)]
    assert panels.GEN3D_PT_text in shown and len(shown) == 11
    assert {(panel.bl_space_type, panel.bl_region_type, panel.bl_category) for panel in shown} == {
        ("VIEW_3D", "UI", "Gen3D")
    }


def test_while_a_job_runs_there_are_a_bar_a_stage_time_left_and_cancel(draw, session, until):
    bpy.context.scene.gen3d_text.prompt = "wait"
    bpy.ops.gen3d.generate_text()
    assert draw("GEN3D_PT_text").of("progress") == ["Starting the worker …"]
    until(lambda: (session.tick(), session.queue.time_left.stage)[1])
    layout = draw("GEN3D_PT_text")
    (text,) = layout.of("progress")
    assert text.startswith("Sampling · ") and text.endswith(" left")
    assert ("gen3d.cancel", "Cancel") in [entry[:2] for entry in layout.of("operator")]
    bpy.ops.gen3d.generate_text()
    layout = draw("GEN3D_PT_text")
    assert ("gen3d.cancel", "Cancel All") in [entry[:2] for entry in layout.of("operator")]
    assert "1 more waiting" in layout.text()
    bpy.ops.gen3d.cancel()
    assert draw("GEN3D_PT_text").of("progress") == ["Cancelling …"]
    until(lambda: (session.tick(), not session.queue.busy)[1])
    assert draw("GEN3D_PT_text").of("progress") == []


def test_errors_and_notes_are_shown_until_dismissed(draw, session):
    session.error, session.notes = "The prompt is empty: describe an object.", ["The size is a guess."]
    layout = draw("GEN3D_PT_text")
    assert "The prompt is empty: describe an object." in layout.text() and "The size is a guess." in layout.text()
    assert "gen3d.dismiss" in layout.operators()
    bpy.ops.gen3d.dismiss()
    assert draw("GEN3D_PT_text").text() == ""


def test_a_bad_interpreter_is_shown_with_a_way_to_change_it(draw, session, addon):
    session.health._health = addon("runtime").Health(False, "This Python lacks torch: install it.")
    layout = draw("GEN3D_PT_text")
    assert "This Python lacks torch: install it." in layout.text()
    assert {"gen3d.check_runtime", "gen3d.open_preferences"} <= set(layout.operators())


def test_the_first_look_checks_the_interpreter_once(draw, session, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(session.health, "start", lambda python, cache: asked.append(python))
    draw("GEN3D_PT_text")
    assert asked == []  # known already
    session.health._health = None
    draw("GEN3D_PT_text")
    assert asked == [""]


def test_the_worker_panel_says_what_is_known(draw, session):
    assert "Ready: Python 3.11 on cpu." in draw("GEN3D_PT_worker").text()
    session.health._health = None
    assert "not checked yet" in draw("GEN3D_PT_worker").text()


def test_an_object_that_gen3d_made_can_be_made_again_and_varied(draw, session, addon, until):
    panel = addon("panels").GEN3D_PT_active_object
    bpy.ops.mesh.primitive_cube_add()
    assert not panel.poll(bpy.context)
    bpy.context.scene.gen3d_text.prompt = "ok"
    bpy.ops.gen3d.generate_text()
    until(lambda: (session.tick(), not session.queue.busy and not session.placing)[1])
    assert panel.poll(bpy.context)
    layout = draw("GEN3D_PT_active_object")
    assert layout.operators() == ["gen3d.regenerate", "gen3d.variations"] and "ok, seed 0" in layout.text()


def test_the_history_shows_why_a_job_failed(draw, session, addon, until):
    bpy.context.scene.gen3d_text.prompt = "fail machine"
    bpy.ops.gen3d.generate_text()
    until(lambda: (session.tick(), not session.queue.busy)[1])
    layout = draw("GEN3D_PT_history")
    assert layout.of("list") == ["GEN3D_UL_history"] and "The weights are missing: fetch them." in layout.text()
    assert layout.operators() == ["gen3d.regenerate", "gen3d.variations", "gen3d.clear_history"]
    assert layout.of("operator")[0][2].job == 1


def test_a_row_of_the_history_names_the_job_and_lets_it_be_cancelled(session, addon):
    bpy.context.scene.gen3d_text.prompt = "wait"
    bpy.ops.gen3d.generate_text()
    item = bpy.context.window_manager.gen3d.history[0]
    layout = Layout()
    addon("panels").GEN3D_UL_history.draw_item(None, bpy.context, layout, None, item, 0, None, "")
    assert layout.of("label") == ["wait · seed 0"] and layout.operators() == ["gen3d.cancel"]
    bpy.ops.gen3d.cancel()
    layout = Layout()
    addon("panels").GEN3D_UL_history.draw_item(None, bpy.context, layout, None, item, 0, None, "")
    assert layout.operators() == []


def test_preferences_show_the_path_and_the_answer(session, addon):
    layout = Layout()
    properties = {"python_path", "idle_minutes"}
    stored = SimpleNamespace(layout=layout, bl_rna=SimpleNamespace(properties=properties))
    addon("preferences").GEN3D_AP_preferences.draw(stored, bpy.context)
    assert set(layout.of("prop")) == properties and layout.operators() == ["gen3d.check_runtime"]


@pytest.mark.parametrize(
    ("sentence", "width", "lines"),
    [
        ("", 10, []),
        ("one two three", 100, ["one two three"]),
        ("one two three", 7, ["one two", "three"]),
        ("see /a/very/long/path here", 8, ["see", "/a/very/", "long/pat", "h here"]),
        ("abc", 0, ["a", "b", "c"]),
    ],
)
def test_sentences_are_wrapped_to_the_width(addon, sentence, width, lines):
    assert addon("panel_text").wrap(sentence, width, len) == lines


def test_wrapped_text_is_the_whole_text(addon):
    sentence = "The worker was killed, perhaps because the memory ran out: close other programs or lower Detail."
    for width in range(12, 100):
        lines = addon("panel_text").wrap(sentence, width, len)
        assert " ".join(lines) == sentence and max(map(len, lines)) <= width
