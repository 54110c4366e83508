"""How a prior and its principal components lie in one file of weights."""

from __future__ import annotations

from torch import Tensor, nn

from .latent_prior import LatentPrior
from .principal_components import PrincipalComponents


def _modules(prior: LatentPrior, components: PrincipalComponents) -> dict[str, nn.Module]:
    return {"prior.": prior, "principal_components.": components}


def prior_state(prior: LatentPrior, components: PrincipalComponents) -> dict[str, Tensor]:
    """The tensors of both, by the names that they have in the file."""
    parts = _modules(prior, components).items()
    return {prefix + key: value for prefix, module in parts for key, value in module.state_dict().items()}


def read_prior(prior: LatentPrior, components: PrincipalComponents, state: dict[str, Tensor]) -> None:
    """Gives both the tensors of a file. Raises RuntimeError when they are of other shapes."""
    for prefix, module in _modules(prior, components).items():
        own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        module.load_state_dict(own, assign=True)
