"""What text_faithfulness found, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.text_faithfulness import ClassResult, Faithfulness, WordResult


def tables(ours: Faithfulness, theirs: Faithfulness, copy_distance: float) -> str:
    """The model's figures beside the baseline's; copy_distance: nearer than this to a training shape is a near-copy."""
    return "\n\n".join(
        [
            _summary(ours, theirs, copy_distance),
            _class_table(ours, theirs),
            _proportion_table(ours, theirs),
            _color_table(ours, theirs),
        ]
    )


def near_copies(results: Sequence[ClassResult], copy_distance: float) -> int:
    """How many shapes are nearer than copy_distance to a training shape."""
    return sum(distance < copy_distance for result in results for distance in result.nearest)


def _summary(ours: Faithfulness, theirs: Faithfulness, copy_distance: float) -> str:
    rows: dict[str, list[str]] = {}
    classes = [list(side.classes.values()) for side in (ours, theirs)]
    rows["class as asked"] = [*(_share(_right(side), _asked(side)) for side in classes), "≥ 80 %"]
    words = [side.proportions for side in (ours, theirs)]
    rows["proportion word obeyed"] = [*(_share(_obeyed(side), _words_asked(side)) for side in words), "≥ 80 %"]
    colors = [side.colors for side in (ours, theirs)]
    rows["colour within 0.15 of the word's"] = [
        *(_share(_obeyed(side), _words_asked(side)) for side in colors),
        "≥ 80 %",
    ]
    rows["Chamfer-L1 between seeds"] = [*(f"{_diversity(side):.3f}" for side in classes), ""]
    rows["Chamfer-L1 to the nearest training shape, median"] = [*(f"{_nearest(side):.3f}" for side in classes), ""]
    copies = [_share(near_copies(side, copy_distance), sum(len(result.nearest) for result in side)) for side in classes]
    rows[f"near-copies (nearer than {copy_distance:.3f})"] = [*copies, ""]
    lines = ["| | model | nearest caption | asked for |", "|---|---:|---:|---:|"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())])


def _class_table(ours: Faithfulness, theirs: Faithfulness) -> str:
    lines = [
        "| class | prompt | as asked | nearest caption | between seeds | nearest caption's | nearest training shape |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, result in ours.classes.items():
        other = theirs.classes[name]
        nearest = f"{np.median(result.nearest):.3f}" if result.nearest else "no shape"
        lines.append(
            f"| {name} | {result.prompt} | {result.right} of {result.asked} | {other.right} of {other.asked} "
            f"| {result.diversity:.3f} | {other.diversity:.3f} | {nearest} |"
        )
    return "\n".join(lines)


def _proportion_table(ours: Faithfulness, theirs: Faithfulness) -> str:
    lines = ["| word | obeyed | nearest caption |", "|---|---:|---:|"]
    for result, other in zip(ours.proportions, theirs.proportions, strict=True):
        lines.append(f"| {result.word} | {result.obeyed} of {result.asked} | {other.obeyed} of {other.asked} |")
    return "\n".join(lines)


def _color_table(ours: Faithfulness, theirs: Faithfulness) -> str:
    lines = [
        "| word | within 0.15 | without the word | named so | without the word | nearest caption | named so |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for result, other in zip(ours.colors, theirs.colors, strict=True):
        lines.append(
            f"| {result.word} | {result.obeyed} of {result.asked} "
            f"| {result.obeyed_by_chance} of {result.asked_by_chance} | {result.named} of {result.asked} "
            f"| {result.named_by_chance} of {result.asked_by_chance} | {other.obeyed} of {other.asked} "
            f"| {other.named} of {other.asked} |"
        )
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%} ({part} of {whole})" if whole else "none"


def _right(results: Sequence[ClassResult]) -> int:
    return sum(result.right for result in results)


def _asked(results: Sequence[ClassResult]) -> int:
    return sum(result.asked for result in results)


def _obeyed(results: Sequence[WordResult]) -> int:
    return sum(result.obeyed for result in results)


def _words_asked(results: Sequence[WordResult]) -> int:
    return sum(result.asked for result in results)


def _diversity(results: Sequence[ClassResult]) -> float:
    return float(np.nanmean([result.diversity for result in results]))


def _nearest(results: Sequence[ClassResult]) -> float:
    return float(np.median([distance for result in results for distance in result.nearest]))
