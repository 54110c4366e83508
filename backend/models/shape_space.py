"""The shape space: one auto-encoder and one prior over its latents, which every task shares.

    space = ShapeSpace.load()
    latent = space.sample("a wooden armchair", seed=0, steps=12, guidance_scale=2)
    mesh = space.decode(latent)

Latents are grids (C, 8, 8, 8) float32; meshes lie in model space, the cube [−1, 1]³, Z up, front −Y.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..color import linear_to_srgb, srgb_to_linear
from ..data.distance_grids import distance_grid
from ..data.surface import sample_surface, surface_colors, welded
from ..data.volume import Volume
from ..errors import InputError
from ..mesh import Mesh
from ..representations.field import Field
from ..weights.bundled import AUTOENCODER, FOLDER, PRIOR, expected_hashes, load_weights
from .candidates import first_whole
from .conditions import IMAGE_SIZE, Conditions
from .latent_blending import blend
from .latent_prior import Guidance, LatentPrior, LatentPriorConfig, inconsistency, sample
from .latent_refinement import Evidence, refined
from .obedience import Asked, most_obedient
from .observation import Observation
from .part_completion import complete
from .placements import PlacedField
from .principal_components import PrincipalComponents
from .prior_weights import read_prior
from .shape_autoencoder import LATENT_RESOLUTION, FeatureGrids, ShapeAutoencoder, ShapeAutoencoderConfig
from .text_encoder import TextEncoder

CANDIDATES = 4
CANDIDATES_TO_OBEY = 8
DRAWN = 2
"""Samples for each candidate: of so many times more the most consistent ones are candidates."""
ENCODED_POINTS = 8192
MEANT_SHARE = 2e-4
"""Parts of a decoded shape that have this share of the largest one's volume are meant: the thin legs of a table have
little more, where they hang together no longer."""
QUERIES_AT_ONCE = 1 << 15


class LatentField:
    """A decoded latent as a field: signed distance and linear colour at points of model space."""

    def __init__(self, autoencoder: ShapeAutoencoder, grids: FeatureGrids) -> None:
        self.decoder, self.grids = autoencoder.decoder, grids

    def _ask(self, query: Callable[[FeatureGrids, Tensor], Tensor], points: Tensor) -> Tensor:
        device = self.grids.coarse.device
        with torch.no_grad():
            answers = [query(self.grids, part[None].to(device))[0] for part in points.split(QUERIES_AT_ONCE)]
            return torch.cat(answers).to(points.device)

    def signed_distance(self, points: Tensor) -> Tensor:
        """(N, 3) float32 → (N,) float32, negative inside, model units."""
        return self._ask(self.decoder.signed_distance, points)

    def color(self, points: Tensor) -> Tensor:
        """(N, 3) float32 → (N, 3) float32 linear RGB."""
        srgb = self._ask(self.decoder.srgb, points)
        return torch.from_numpy(srgb_to_linear(srgb.cpu().numpy())).to(points.device)


class ShapeSpace:
    """The bundled auto-encoder, prior and sentence encoder on one device. Make it with `load`."""

    def __init__(
        self,
        autoencoder: ShapeAutoencoder,
        components: PrincipalComponents,
        prior: LatentPrior,
        weights: dict[str, str],
    ) -> None:
        self.autoencoder, self.components, self.prior, self.weights = autoencoder, components, prior, weights
        self.device = components.mean.device
        self.text_encoder = TextEncoder(self.device)

    @classmethod
    def load(cls, device: str | torch.device = "cpu", folder: Path = FOLDER) -> ShapeSpace:
        """Reads the weights in `folder`, the bundled ones unless said otherwise.

        Raises MachineError when one is missing, cut short or another than recorded.
        """
        state, config = load_weights(AUTOENCODER, folder)
        with torch.device("meta"):
            autoencoder = ShapeAutoencoder(ShapeAutoencoderConfig(**config))
        autoencoder.load_state_dict(state, assign=True)
        state, config = load_weights(PRIOR, folder)
        latent_shape = (autoencoder.config.latent_channels, *[LATENT_RESOLUTION] * 3)
        with torch.device("meta"):
            prior = LatentPrior(LatentPriorConfig(**{**config, "classes": tuple(config["classes"])}))
            components = PrincipalComponents(config["components"], latent_shape)
        read_prior(prior, components, state)
        for module in (autoencoder, prior, components):
            module.to(device).eval().requires_grad_(False)
        hashes = expected_hashes(folder)
        return cls(autoencoder, components, prior, {name: hashes[name] for name in (AUTOENCODER, PRIOR)})

    def sample(
        self,
        prompt: str | None = None,
        *,
        seed: int,
        steps: int,
        guidance_scale: float,
        class_name: str | None = None,
        image: np.ndarray | None = None,
        step: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """A latent (C, 8, 8, 8) float32 that agrees with all that is told of it; the same arguments on the same device
        give the same latent.

        Of the samples that the seed gives, those are candidates that the prior would move least (`inconsistency`). The
        most consistent of those that hang together is kept, or, where the prompt has words for colour or proportion,
        the one that obeys them best. `step(done, total)` is called after every sampling step and every candidate looked
        at, and may raise to stop.
        """
        asked = Asked.by(prompt or "")
        count = CANDIDATES_TO_OBEY if asked else CANDIDATES

        def tell(done: int) -> None:
            if step is not None:
                step(done, steps + count)

        guidance = Guidance.by(self.prior, self.conditions(prompt, class_name, image), guidance_scale)
        drawn = self._drawn(DRAWN * count, guidance, seed=seed, steps=steps, step=tell)
        moved = inconsistency(self.prior, drawn, guidance.conditional, self.components.deviations)
        latents = self.components.restore(drawn[moved.argsort(stable=True)[:count]])

        def fields() -> Iterator[LatentField]:
            for index, latent in enumerate(latents):
                yield self.field(latent)
                tell(steps + index + 1)

        chosen = most_obedient(fields(), asked) if asked else first_whole(fields())
        return latents[chosen].clone()

    def candidates(
        self,
        prompt: str | None = None,
        *,
        count: int,
        seed: int,
        steps: int,
        guidance_scale: float,
        class_name: str | None = None,
        image: np.ndarray | None = None,
        step: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Latents (count, C, 8, 8, 8) float32 that agree with all that is told of a shape.

        prompt: what it is, in words. class_name: one of `classes`. image: (64, 64, 4) float32, sRGB and alpha in
        [0, 1], of the object alone. Without any of them it is any shape. `step(done)` is called after every sampling
        step and may raise to stop. Raises InputError for an unknown class or an image of another shape.
        """
        guidance = Guidance.by(self.prior, self.conditions(prompt, class_name, image), guidance_scale)
        return self.components.restore(self._drawn(count, guidance, seed=seed, steps=steps, step=step))

    def _drawn(
        self, count: int, guidance: Guidance, *, seed: int, steps: int, step: Callable[[int], None] | None
    ) -> Tensor:
        """Samples (count, K) of the prior that `seed` gives, whitened."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(count, self.prior.config.components, generator=generator).to(self.device)
        return sample(self.prior, noise, guidance, steps=steps, step=step)

    def conditions(
        self, prompt: str | None = None, class_name: str | None = None, image: np.ndarray | None = None
    ) -> Conditions:
        """What is told of one shape, ready for the prior; see `sample`."""
        row = torch.zeros(1, dtype=torch.long, device=self.device)
        sentences = classes = images = None
        if prompt is not None:
            sentences = row, self.text_encoder.encode([prompt])
        if class_name is not None:
            if class_name not in self.classes:
                raise InputError(f"There is no class {class_name!r}; the classes are {', '.join(self.classes)}.")
            classes = row, row + self.classes.index(class_name)
        if image is not None:
            if image.shape != (IMAGE_SIZE, IMAGE_SIZE, 4):
                raise InputError(f"An image must have the shape {(IMAGE_SIZE, IMAGE_SIZE, 4)}, not {image.shape}.")
            pixels = torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)
            images = row, pixels[None].to(self.device)
        return Conditions(1, sentences, classes, images)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names that may be asked for as a class."""
        return self.prior.config.classes

    def complete(
        self,
        observation: Observation,
        *,
        seed: int,
        steps: int,
        prompt: str | None = None,
        guidance_scale: float = 1.0,
        step: Callable[[int, int], None] | None = None,
    ) -> Field:
        """A whole shape that agrees with a partial one, in the same place; another seed gives another.

        `prompt` tells what it is, where that is known. `step(done, total)` is called after every step and may raise.
        """
        latent, placement = complete(
            self.autoencoder.decoder,
            self.components,
            self.prior,
            observation,
            self.conditions(prompt),
            seed=seed,
            steps=steps,
            guidance_scale=guidance_scale,
            step=step,
        )
        return PlacedField(self.field(latent), placement)

    def field(self, latent: Tensor) -> LatentField:
        """The shape that `latent` (C, 8, 8, 8) stands for, ready to be asked at points."""
        shape = (self.autoencoder.config.latent_channels, *[LATENT_RESOLUTION] * 3)
        if tuple(latent.shape) != shape:
            raise InputError(f"A latent must have the shape {shape}, not {tuple(latent.shape)}.")
        with torch.no_grad():
            return LatentField(self.autoencoder, self.autoencoder.decoder.grids(latent[None].to(self.device)))

    def blend(self, latents: Sequence[Tensor], weights: Sequence[float], *, path: str = "linear") -> Tensor:
        """One latent (C, 8, 8, 8) between several of that shape, or beyond them: `blend([a, b, c], [1, 1, -1])` is the
        arithmetic a + b − c. Weights are made to add up to 1; `path` is "linear" or, without negative weights,
        "spherical". Raises InputError when the weights do not fit or add up to 0.
        """
        return blend(latents, weights, components=self.components, path=path)

    def encode(self, mesh: Mesh, *, refine: bool = True) -> Tensor:
        """The latent (C, 8, 8, 8) float32 of `mesh`, which lies in model space ([−1, 1]³).

        With `refine` the encoder's answer is fitted to the mesh by descent, which takes seconds and keeps finer parts.
        Raises InputError when the mesh has no surface or reaches out of model space.
        """
        if len(mesh.vertices) and np.abs(mesh.vertices).max() > 1:
            raise InputError("The mesh reaches out of model space, the cube from −1 to 1: scale it into that first.")
        points = sample_surface(mesh.vertices, mesh.faces, ENCODED_POINTS, np.random.default_rng(0))
        srgb = linear_to_srgb(surface_colors(mesh, points))
        volume = Volume.of(*welded(mesh.vertices, mesh.faces))
        parts = (distance_grid(volume), points.positions, srgb)
        with torch.no_grad():
            latent = self.autoencoder.encoder(*(torch.from_numpy(part)[None].to(self.device) for part in parts))[0]
        if not refine:
            return latent
        return refined(self.autoencoder.decoder, latent, Evidence.of(volume, points.positions, srgb))

    def decode(self, latent: Tensor, resolution: int = 128, *, face_count: int = 20_000) -> Mesh:
        """The finished mesh of `latent`, in model space, with UVs and texture, from `resolution` cells along a side.

        Raises InputError when the latent stands for an empty shape.
        """
        from ..meshing.mesh_from_field import mesh_from_field

        return mesh_from_field(self.field(latent), detail=resolution, face_count=face_count, smallest_share=MEANT_SHARE)
