"""Trains the autoregressive prior over the codes of shapes, for completion.

    python3 build.py train code_prior --data train.zip

Every sample is an object with a part that is unknown, of the kinds that completion is measured by; of the patches that
are wholly known a random share is given as codes, and so is one of the others, as it is while a shape is drawn
(Hoogeboom et al., "Autoregressive Diffusion Models", 2022, algorithm 2).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..data.distance_grids import stretched
from ..data.distance_packing import pack_distance_grids
from ..data.holdout import held_out
from ..data.packing import PackedData, pack
from ..data.variants import VIEWS
from ..errors import InputError
from ..models.code_completion import known_patches
from ..models.code_prior import CodePrior, CodePriorConfig, draw
from ..models.shape_codes import TOKENS, ShapeCodes, ShapeCodesConfig
from ..representations.distance_grid_field import DistanceGridField
from ..weights.bundled import CODE_PRIOR, CODES, expected_hashes, load_weights, save_weights
from . import processes
from .card import CodePriorReport, write_code_prior_card
from .latent_prior import variants_of
from .loop import Schedule, save_whole, train
from .options import Run, training_parser
from .part_sampling import draw_parts
from .samples import tile_of

WITHOUT_CODES = 0.25
"""Share of the parts that are given as points alone, and so without any patch's codes."""
SHOWN, SHOWN_STEPS = 6, 12

CONFIGURATIONS = {
    "small": (CodePriorConfig(), Schedule(minutes=20, batch_size=64, learning_rate=1e-3, warmup_steps=100)),
    "base": (CodePriorConfig(), Schedule(minutes=60, batch_size=512, learning_rate=2e-3)),
}


@dataclass
class CodeBatch:
    """codes (B, 64, G) int64, given (B, 64) bool, parts (B, 11, 16, 16, 16) float32."""

    codes: Tensor
    given: Tensor
    parts: Tensor


@torch.no_grad()
def encode_all(
    model: ShapeCodes, data: PackedData, grids: np.ndarray, device: torch.device
) -> tuple[Tensor, np.ndarray]:
    """Codes (n, VIEWS, 64, G) int16 of all objects, and what was done to each, (n, VIEWS, 3, 3) float32."""
    codes = []
    variants = variants_of(data)
    for index, of_object in enumerate(tqdm(variants, "Encoding", unit="object", mininterval=10)):
        matrices = torch.from_numpy(of_object.matrices).to(device)
        grid = torch.from_numpy(grids[index].astype(np.float32) / 127).to(device)
        codes.append(model.encode(stretched(grid, matrices.diagonal(dim1=1, dim2=2))).short().cpu())
    return torch.stack(codes), np.stack([of_object.matrices for of_object in variants])


class CodeSampler:
    """Draws codes with parts; rare classes more often than their share, and `only` (n,) bool of the objects."""

    def __init__(
        self, data: PackedData, codes: Tensor, matrices: np.ndarray, only: np.ndarray, device: torch.device
    ) -> None:
        self.data, self.codes, self.matrices, self.device = data, codes, matrices, device
        names = [record["class"] for record in data.records]
        weight = np.array([names.count(name) ** -0.5 for name in names])
        weight[~only] = 0
        self.cumulative = np.cumsum(weight / weight.sum())

    def known(self, generator: np.random.Generator, count: int) -> CodeBatch:
        """Parts, with the codes of their patches."""
        objects = np.searchsorted(self.cumulative, generator.random(count)).clip(0, len(self.cumulative) - 1)
        views = generator.integers(VIEWS, size=count)
        parts = draw_parts(self.data, generator, objects, self.matrices[objects, views])
        given = known_patches(parts.boxes)
        given[parts.scans | (generator.random(count) < WITHOUT_CODES)] = False
        codes = self.codes[objects, views].long()
        return CodeBatch(*(values.to(self.device) for values in (codes, torch.from_numpy(given), parts.grids)))

    def __call__(self, generator: np.random.Generator, count: int) -> CodeBatch:
        batch = self.known(generator, count)
        drawn = generator.random((count, TOKENS)) < generator.random((count, 1))
        given = batch.given.cpu().numpy()
        # One at least is left to be predicted, of what is unknown.
        left = (generator.random((count, TOKENS)) * ~given).argmax(axis=1)
        given = given | drawn
        given[np.arange(count), left] = False
        return replace(batch, given=torch.from_numpy(given).to(self.device))


def losses_of(model: CodePrior, batch: CodeBatch) -> dict[str, Tensor]:
    """The terms of the loss."""
    return {"bits": model.loss(batch.codes, batch.given, batch.parts)}


@torch.no_grad()
def evaluate(model: CodePrior, sampler: CodeSampler, batches: int) -> float:
    """Mean bits a code of the codes that are not given."""
    batches_drawn = (sampler(np.random.default_rng([7, index]), 64) for index in range(batches))
    return float(np.mean([model.loss(batch.codes, batch.given, batch.parts).item() for batch in batches_drawn]))


def main(arguments: list[str] | None = None) -> None:
    """Encode, train, measure, save; see --help."""
    parser = training_parser("code_prior", "Train the autoregressive prior over codes.", CONFIGURATIONS)
    run = Run.of(parser.parse_args(arguments), "code_prior", CONFIGURATIONS)
    with processes.first_alone():
        data = pack(run.data, run.packed)
    unseen = held_out(data.records)
    if not unseen.any():
        raise InputError(f"{run.data} has too few objects to hold any out, so that nothing could be measured.")
    state, codes_config = load_weights(CODES, run.weights)
    shape_codes = ShapeCodes(ShapeCodesConfig(**{**codes_config, "widths": tuple(codes_config["widths"])}))
    shape_codes.load_state_dict(state)
    shape_codes.to(run.device).eval()
    origin = f"{run.data.stem}_{expected_hashes(run.weights)[CODES][:12]}"
    encoded = run.folder / f"codes_{origin}.pt"
    with processes.first_alone():
        if not encoded.exists():
            codes, matrices = encode_all(shape_codes, data, pack_distance_grids(run.data, run.packed), run.device)
            save_whole(encoded, {"codes": codes, "matrices": torch.from_numpy(matrices)})
    stored = torch.load(encoded, weights_only=True)
    sources = (data, stored["codes"], stored["matrices"].numpy())
    measured = CodeSampler(*sources, unseen, run.device)
    shown = measured.known(np.random.default_rng(7), SHOWN)

    def samples(model: CodePrior) -> np.ndarray:
        generator = torch.Generator().manual_seed(0)
        drawn = draw(model, shown.codes, shown.given, shown.parts, generator, steps=SHOWN_STEPS, temperature=1.0)
        rows = [shape_codes.decode(codes).detach() for codes in (shown.codes, drawn)]
        return np.concatenate(
            [np.concatenate([tile_of(DistanceGridField(grid)) for grid in row], axis=1) for row in rows]
        )

    torch.manual_seed(0)
    sampler, checkpoint = CodeSampler(*sources, ~unseen, run.device), run.folder / f"checkpoint_{origin}.pt"
    trained = train(
        CodePrior(run.config), sampler, losses_of, run.schedule, checkpoint, device=run.device, samples=samples
    )
    if processes.rank():
        return
    bits = evaluate(trained.model.eval(), measured, 8)
    save_weights(CODE_PRIOR, trained.model.state_dict(), asdict(run.config), run.weights)
    write_code_prior_card(
        CodePriorReport(run.configuration, run.schedule, trained, bits, len(data), int(unseen.sum())), run.weights
    )
    print(f"{trained.steps} steps in {trained.minutes:.1f} minutes: {bits:.2f} bits a code")


if __name__ == "__main__":
    main()
