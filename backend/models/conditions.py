"""What a shape may be asked to agree with: a sentence, a class, a picture, a part of it. Each may be absent.

Every kind is encoded into one vector, and the vectors are summed: the prior modulates all of its layers by the sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from .partial_shape import CHANNELS as PARTIAL_CHANNELS
from .partial_shape import RESOLUTION as PARTIAL_RESOLUTION
from .text_encoder import WIDTH as TEXT_WIDTH
from .text_encoder import Sentences

HEADS = 6
IMAGE_SIZE = 64
PARTIAL_TOKENS = 4
"""Blocks of cells along each side of a partial shape's grid that are read as one."""
PARTIAL_HIDDEN = 128
PARTIAL_WIDTH = 48
NAMES = ("sentence", "class", "image", "part")


@dataclass(frozen=True)
class Conditions:
    """The conditions of `count` shapes. Each kind is None, or a pair of the rows (n,) int64 that have it and of its n
    values: sentences; classes (n,) int64; images (n, 4, 64, 64) float32, RGBA in [0, 1], not premultiplied, sRGB;
    parts (n, 11, 16, 16, 16) float32 as `partial_shape` gives them."""

    count: int
    sentences: tuple[Tensor, Sentences] | None = None
    classes: tuple[Tensor, Tensor] | None = None
    images: tuple[Tensor, Tensor] | None = None
    parts: tuple[Tensor, Tensor] | None = None

    def repeated(self, count: int) -> Conditions:
        """The conditions of one shape, for each of `count`. Raises ValueError when they are of several."""
        if self.count != 1:
            raise ValueError(f"Conditions of one shape are needed, not of {self.count}.")

        def rows(values: Tensor) -> Tensor:
            return torch.arange(count, device=values.device)

        sentences = None
        if self.sentences is not None:
            given = self.sentences[1]
            parts = (part.expand(count, *part.shape[1:]) for part in (given.embedding, given.tokens, given.mask))
            sentences = rows(given.embedding), Sentences(*parts)

        def expanded(given: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor] | None:
            return None if given is None else (rows(given[1]), given[1].expand(count, *given[1].shape[1:]))

        return Conditions(count, sentences, expanded(self.classes), expanded(self.images), expanded(self.parts))


class SentenceEncoder(nn.Module):
    """A sentence's embedding, and what its tokens add by attention of one learned query."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(TEXT_WIDTH, width)
        self.scores = nn.Linear(TEXT_WIDTH, HEADS)
        self.values = nn.Linear(TEXT_WIDTH, TEXT_WIDTH)
        self.tokens = nn.Linear(TEXT_WIDTH, width)

    def forward(self, sentences: Sentences) -> Tensor:
        scores = self.scores(sentences.tokens).masked_fill(~sentences.mask[..., None], -math.inf)
        values = self.values(sentences.tokens).unflatten(-1, (HEADS, -1))
        attended = (scores.float().softmax(1)[..., None] * values).sum(1).flatten(1)
        return self.embedding(sentences.embedding * math.sqrt(TEXT_WIDTH)) + self.tokens(attended)


class ImageEncoder(nn.Module):
    """A picture of 64² pixels with alpha → vector: four strided convolutions, then every place by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = (4, 32, 64, 128, 128)
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        self.convolutions = nn.Sequential(*layers)
        self.places = nn.Linear(channels[-1] * (IMAGE_SIZE // 16) ** 2, width)

    def forward(self, images: Tensor) -> Tensor:
        alpha = images[:, 3:]
        seen = torch.cat([(images[:, :3] * 2 - 1) * alpha, alpha * 2 - 1], dim=1)
        return self.places(self.convolutions(seen).flatten(1))


class PartEncoder(nn.Module):
    """The grid of a partial shape → vector: blocks of cells by one network, then all of them by their places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        cells = (PARTIAL_RESOLUTION // PARTIAL_TOKENS) ** 3
        self.blocks = nn.Sequential(
            nn.Linear(cells * PARTIAL_CHANNELS, PARTIAL_HIDDEN), nn.SiLU(), nn.Linear(PARTIAL_HIDDEN, PARTIAL_WIDTH)
        )
        self.places = nn.Linear(PARTIAL_TOKENS**3 * PARTIAL_WIDTH, width)

    def forward(self, parts: Tensor) -> Tensor:
        count, channels = parts.shape[:2]
        size = PARTIAL_RESOLUTION // PARTIAL_TOKENS
        blocks = parts.reshape(count, channels, *[PARTIAL_TOKENS, size] * 3).permute(0, 2, 4, 6, 1, 3, 5, 7)
        tokens = self.blocks(blocks.reshape(count, PARTIAL_TOKENS**3, channels * size**3))
        return self.places(functional.silu(tokens.flatten(1)))


class ConditionEncoder(nn.Module):
    """Conditions → one vector (B, width) a shape; a kind that is absent has a learned vector of its own."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.sentence = SentenceEncoder(width)
        # Not drawn by nn.init, which on "meta" makes torch import its compiler: seconds of every first call.
        self.classes = nn.Embedding.from_pretrained(torch.normal(0.0, 0.1, (max(classes, 1), width)), freeze=False)
        self.image = ImageEncoder(width)
        self.part = PartEncoder(width)
        self.absent = nn.Parameter(torch.zeros(len(NAMES), width))

    def forward(self, conditions: Conditions) -> Tensor:
        total = self.absent.sum(0).expand(conditions.count, -1).float()
        kinds = (
            (conditions.sentences, self.sentence),
            (conditions.classes, self.classes),
            (conditions.images, self.image),
            (conditions.parts, self.part),
        )
        for absent, (given, encoder) in zip(self.absent, kinds, strict=True):
            if given is not None and len(given[0]):
                rows, values = given
                total = total.index_add(0, rows, encoder(values).float() - absent)
        return total
