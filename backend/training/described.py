"""What the prior is told of every variant of every object in words, embedded once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..data.captions import main_colors, proportion_words, proportions, sentences, with_article
from ..data.packing import PackedData
from ..data.variants import PLAIN_VIEWS, VIEWS, Variants, neutral
from ..models.text_encoder import Sentences, TextEncoder
from .loop import save_whole

SENTENCES = 4
"""Of each variant."""
TOKENS = 16
"""Of a sentence, at most; captions are shorter."""


def describe_all(data: PackedData, variants: list[Variants]) -> list[list[list[str]]]:
    """SENTENCES captions for each of the VIEWS of every object."""
    extents = np.stack([np.ptp(positions.astype(np.float32), axis=0) for positions in data.surface_positions])
    ratios = proportions(extents.clip(1e-3))
    classes = np.array([record["class"] for record in data.records])
    medians = {name: np.median(ratios[classes == name], axis=0) for name in set(classes)}
    captions = []
    for index, (record, of_object) in enumerate(zip(data.records, variants, strict=True)):
        name = record["class"]
        own_colors = main_colors(data.surface_colors[index]) if record["has_color"] else []
        generator = np.random.default_rng([2, index])
        views = []
        for view in range(VIEWS):
            stretched = extents[index].clip(1e-3) * np.abs(np.diagonal(of_object.matrices[view]))
            words = proportion_words(proportions(stretched[None])[0], medians[name])
            tint = of_object.tints[view]
            caption = record["caption"] if view < PLAIN_VIEWS else with_article(neutral(record["caption"], name))
            colors = own_colors if tint is None else [tint]
            views.append(sentences(caption, name, colors, words, SENTENCES, generator))
        captions.append(views)
    return captions


@dataclass(frozen=True)
class Captions:
    """of_variants (n, VIEWS, SENTENCES) int64: rows of the encoded unique sentences, whose tokens are float16."""

    encoded: Sentences
    of_variants: np.ndarray


def embed_all(captions: list[list[list[str]]], encoder: TextEncoder) -> Captions:
    """Every sentence, encoded once; what is longer than TOKENS is cut there."""
    every = {sentence for views in captions for told in views for sentence in told}
    unique = sorted(every, key=lambda text: (len(text), text))
    parts = [encoder.encode(unique[start : start + 64]) for start in range(0, len(unique), 64)]

    def padded(values: Tensor) -> Tensor:
        values = values[:, :TOKENS].cpu()
        return functional.pad(values, (0, 0) * (values.ndim - 2) + (0, TOKENS - values.shape[1]))

    encoded = Sentences(
        torch.cat([part.embedding.cpu() for part in parts]),
        torch.cat([padded(part.tokens).half() for part in parts]),
        torch.cat([padded(part.mask) for part in parts]),
    )
    place = {sentence: index for index, sentence in enumerate(unique)}
    return Captions(encoded, np.array([[[place[text] for text in told] for told in views] for views in captions]))


def captions_of(data: PackedData, variants: list[Variants], encoder: TextEncoder, path: Path) -> Captions:
    """The variants' captions, embedded; kept at `path`, since that takes minutes."""
    if not path.exists():
        made = embed_all(describe_all(data, variants), encoder)
        save_whole(path, {**vars(made.encoded), "of_variants": torch.from_numpy(made.of_variants)})
    stored = torch.load(path, weights_only=True)
    of_variants = stored.pop("of_variants").numpy()
    return Captions(Sentences(**stored), of_variants)
