"""DeepSDF: one network that gives the signed distance at a point, of the shape whose code goes in along with the point.

Park et al., "DeepSDF: Learning Continuous Signed Distance Functions for Shape Representation", 2019. There is no
encoder: the code of a shape is found by optimisation (latent_fitting.py). Folders have the published layout of an
experiment, and so do the keys of the checkpoints:

    specs.json                      CodeLength, NetworkSpecs
    ModelParameters/latest.pth      model_state_dict: module.lin0.weight_g, module.lin0.weight_v, module.lin0.bias, …
    LatentCodes/latest.pth          latent_codes: the training shapes' codes, as an Embedding's weight or (N, 1, L)

The network's own frame is ShapeNet's (right-handed, Y up, front −Z, shapes within the unit sphere); `DeepSDFField` asks
it in model space.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..color import srgb_to_linear
from ..data.surface import UNKNOWN_SRGB
from ..errors import InputError

POINT_SIZE = 3
QUERIES_AT_ONCE = 1 << 15


@dataclass(frozen=True)
class DeepSDFConfig:
    """The part of a specs.json that decides the network's form, by the names that it has there; the defaults are those
    of the published experiments.

    dims         widths of the hidden layers
    latent_in    layers that are given code and point once more
    norm_layers  layers with weight normalisation or, without `weight_norm`, layer normalisation behind them
    xyz_in_all   whether every layer but the first is given the point once more
    use_tanh     a second tanh behind the last layer
    """

    code_length: int = 256
    dims: tuple[int, ...] = (512,) * 8
    latent_in: tuple[int, ...] = (4,)
    norm_layers: tuple[int, ...] = tuple(range(8))
    weight_norm: bool = True
    xyz_in_all: bool = False
    use_tanh: bool = False

    @classmethod
    def from_specs(cls, specs: Mapping[str, Any]) -> DeepSDFConfig:
        """From the content of a specs.json. Raises InputError when that lacks something or asks for another network."""
        try:
            network = dict(specs["NetworkSpecs"])
            config = cls(
                code_length=int(specs["CodeLength"]),
                dims=tuple(map(int, network["dims"])),
                latent_in=tuple(map(int, network.get("latent_in", ()))),
                norm_layers=tuple(map(int, network.get("norm_layers") or ())),
                weight_norm=bool(network.get("weight_norm", False)),
                xyz_in_all=bool(network.get("xyz_in_all", False)),
                use_tanh=bool(network.get("use_tanh", False)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"The specs.json does not describe a DeepSDF network ({error!r}).") from error
        architecture = specs.get("NetworkArch", "deep_sdf_decoder")
        if architecture != "deep_sdf_decoder":
            raise InputError(f"The specs.json asks for the network {architecture!r}; only 'deep_sdf_decoder' is known.")
        if not config.dims or min(config.dims) < 1 or config.code_length < 1:
            raise InputError("The specs.json describes a DeepSDF network without layers or without a code.")
        return config


class DeepSDFNetwork(nn.Module):
    """(code, point) → signed distance, as at inference: without dropout, weight normalisation folded into weights."""

    def __init__(self, config: DeepSDFConfig) -> None:
        super().__init__()
        self.config = config
        given = config.code_length + POINT_SIZE
        widths = [given, *config.dims, 1]
        last = len(widths) - 2
        self.layers = nn.ModuleList()
        self.norms = nn.ModuleDict()
        for index in range(last + 1):
            out = widths[index + 1]
            if index + 1 in config.latent_in:
                out -= given
            elif config.xyz_in_all and index != last:
                out -= POINT_SIZE
            if out < 1:
                raise InputError(f"Layer {index} of the DeepSDF network is too narrow for what is added behind it.")
            self.layers.append(nn.Linear(widths[index], out))
            if not config.weight_norm and index in config.norm_layers and index != last:
                self.norms[str(index)] = nn.LayerNorm(out)

    def forward(self, code: Tensor, points: Tensor) -> Tensor:
        """code (L,), points (N, 3) in the network's frame → (N,), between −1 and 1."""
        given = torch.cat([code.expand(len(points), -1), points], dim=1)
        hidden = given
        for index, layer in enumerate(self.layers):
            if index in self.config.latent_in:
                hidden = torch.cat([hidden, given], dim=1)
            elif index and self.config.xyz_in_all:
                hidden = torch.cat([hidden, points], dim=1)
            hidden = layer(hidden)
            if index < len(self.layers) - 1:
                if str(index) in self.norms:
                    hidden = self.norms[str(index)](hidden)
                hidden = torch.relu(hidden)
        if self.config.use_tanh:
            hidden = torch.tanh(hidden)
        return torch.tanh(hidden)[:, 0]

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a published checkpoint's `model_state_dict`.

        Raises InputError when a key is missing, left over, or of another shape than the specs say.
        """
        given = {key.removeprefix("module."): value for key, value in state.items()}
        own: dict[str, Tensor] = {}
        for index in range(len(self.layers)):
            name = f"lin{index}"
            if self.config.weight_norm and index in self.config.norm_layers:
                length, direction = _take(given, f"{name}.weight_g"), _take(given, f"{name}.weight_v")
                # Weight normalisation: the length of each row is a parameter of its own (Salimans and Kingma 2016).
                own[f"layers.{index}.weight"] = direction * (length / direction.norm(dim=1, keepdim=True))
            else:
                own[f"layers.{index}.weight"] = _take(given, f"{name}.weight")
            own[f"layers.{index}.bias"] = _take(given, f"{name}.bias")
            if not self.config.weight_norm and index in self.config.norm_layers:
                # The published network makes a norm behind its last layer as well, and never uses it.
                norm = {part: _take(given, f"bn{index}.{part}") for part in ("weight", "bias")}
                if str(index) in self.norms:
                    own |= {f"norms.{index}.{part}": value for part, value in norm.items()}
        if given:
            raise InputError(
                f"The DeepSDF checkpoint has weights that its specs.json knows nothing of: {sorted(given)[0]}."
            )
        try:
            self.load_state_dict(own)
        except RuntimeError as error:
            raise InputError(f"The DeepSDF checkpoint does not fit its specs.json: {error}") from error


class DeepSDF:
    """A trained auto-decoder: its network, and the codes (N, L) of the shapes that it was trained on."""

    def __init__(self, network: DeepSDFNetwork, codes: Tensor) -> None:
        self.network, self.codes = network.eval().requires_grad_(False), codes

    @classmethod
    def load(cls, folder: Path, checkpoint: str = "latest", device: str | torch.device = "cpu") -> DeepSDF:
        """Reads an experiment's folder. Raises InputError when a file is missing, damaged or does not fit."""
        folder = Path(folder)
        network = DeepSDFNetwork(DeepSDFConfig.from_specs(_read_specs(folder / "specs.json")))
        state = _read_checkpoint(folder / "ModelParameters" / f"{checkpoint}.pth", "model_state_dict")
        network.load_published(_tensors(state, folder))
        codes = _read_checkpoint(folder / "LatentCodes" / f"{checkpoint}.pth", "latent_codes")
        if isinstance(codes, Mapping):
            codes = codes.get("weight")
        length = network.config.code_length
        if not isinstance(codes, Tensor) or codes.shape[-1:] != (length,) or not codes.numel():
            raise InputError(f"The latent codes in {folder} are not codes of length {length}.")
        return cls(network.to(device), codes.reshape(-1, length).float().to(device))

    def signed_distance(self, code: Tensor, points: Tensor) -> Tensor:
        """code (L,), points (N, 3) in model space → (N,); differentiable in both."""
        x, y, z = points.unbind(1)
        return self.network(code, torch.stack([-x, z, y], dim=1))

    def field(self, code: Tensor) -> DeepSDFField:
        """The shape of a code (L,). Raises InputError for another length."""
        if tuple(code.shape) != (self.network.config.code_length,):
            raise InputError(
                f"A code must have the shape ({self.network.config.code_length},), not {tuple(code.shape)}."
            )
        return DeepSDFField(self, code)


class DeepSDFField:
    """A shape of DeepSDF as a field in model space; the network knows no colours, so it is light grey."""

    def __init__(self, model: DeepSDF, code: Tensor) -> None:
        self.model, self.code = model, code

    def signed_distance(self, points: Tensor) -> Tensor:
        """(N, 3) float32 → (N,) float32, negative inside."""
        with torch.no_grad():
            parts = [
                self.model.signed_distance(self.code, part.to(self.code)) for part in points.split(QUERIES_AT_ONCE)
            ]
            return torch.cat(parts).to(points.device)

    def color(self, points: Tensor) -> Tensor:
        """(N, 3) float32 → (N, 3) float32 linear RGB."""
        return torch.full_like(points, float(srgb_to_linear(UNKNOWN_SRGB)))


def _take(state: dict[str, Tensor], key: str) -> Tensor:
    if key not in state:
        raise InputError(f"The DeepSDF checkpoint lacks {key!r}, which its specs.json asks for.")
    return state.pop(key)


def _tensors(state: Any, folder: Path) -> Mapping[str, Tensor]:
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"The model_state_dict in {folder} is none: its entries are not tensors.")
    return state


def _read_specs(path: Path) -> Mapping[str, Any]:
    try:
        specs = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The DeepSDF experiment lacks its {path}: {error.strerror or error}.") from error
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(specs, Mapping):
        raise InputError(f"{path} is no specs.json of DeepSDF: it must be a JSON object.")
    return specs


def _read_checkpoint(path: Path, key: str) -> Any:
    """What a .pth file holds under `key`; nothing in the file is run."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"The DeepSDF experiment lacks its file {path}.") from None
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as a PyTorch checkpoint: {error}") from error
    if not isinstance(content, Mapping) or key not in content:
        raise InputError(f"{path} is no DeepSDF checkpoint: it has no {key!r}.")
    return content[key]
