"""The NNGP from features of a few random networks, drawn anew each time.

    K(x, x') = sum_m z_m(x) . z_m(x') / (M d),    z_m the d features of network m of M

Source: Loo et al., "Efficient Dataset Distillation Using Random Feature Approximation", NeurIPS
2022, https://arxiv.org/abs/2210.12067.
"""

from copy import deepcopy
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from untrained.networks.weights import draw_weights


@dataclass(frozen=True)
class RandomFeatures:
    """A kernel whose every call draws other networks: what is learnt by it suits all of them."""

    network: nn.Module = field(repr=False)
    "From images to features; its weights do not matter, and are left as they are."
    generator: torch.Generator = field(repr=False)
    "Of the weights."
    count: int = 4
    "M."
    law: str = "kaiming_fan_in"
    "Of the weights, see `draw_weights`."

    def __call__(
        self, x1: Float[Tensor, "n ..."], x2: Float[Tensor, "m ..."]
    ) -> Float[Tensor, "n m"]:
        """Between two batches, with gradients to both; features have the network's precision."""
        total = x1.new_zeros(len(x1), len(x2))
        exact = next(self.network.parameters()).dtype
        for _ in range(self.count):
            copy = deepcopy(self.network).requires_grad_(False)
            draw_weights(copy, self.law, self.generator)
            z1, z2 = (copy(x.to(exact)).flatten(1).to(x1.dtype) for x in (x1, x2))
            total = total + z1 @ z2.T / z1.shape[1]
        return total / self.count
