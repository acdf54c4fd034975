"""Linear regions: how many activation patterns a batch of inputs falls into.

A network of piecewise-linear nonlinearities is affine on the set of inputs that share one pattern:
the piece that each unit is on.

Source: Montufar et al., "On the Number of Linear Regions of Deep Neural Networks", NeurIPS 2014,
https://arxiv.org/abs/1402.1869; as a count over samples, TE-NAS, https://arxiv.org/abs/2102.11535.
"""

from collections import Counter
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor, nn

from untrained.networks.batchnorm import FrozenStatistics, evaluating, policy_mode
from untrained.networks.choices import Policy
from untrained.networks.foreign import foreign
from untrained.networks.unwrapping import unwrapped
from untrained.regions.affine import check_affine
from untrained.regions.patterns import PatternHash


class Richness(NamedTuple):
    """An estimate of how many regions there are, with its 95 % interval."""

    total: float
    low: float
    high: float


@dataclass(frozen=True)
class Regions:
    """Distinct activation patterns among a number of inputs."""

    count: int
    "A lower bound on the network's linear regions; equal to `inputs` when saturated."
    inputs: int
    neurons: int
    "Nonlinear units whose pieces make up a pattern; 0 means a linear network."
    once: int
    "f1, the patterns that one input alone has."
    twice: int
    "f2, the patterns that two inputs share."

    @property
    def saturated(self) -> bool:
        """Whether every input fell into a region of its own, so that the count says little."""
        return self.count == self.inputs and self.neurons > 0

    @property
    def warning(self) -> str:
        """What saturation means for the count; empty if it is not saturated."""
        if not self.saturated:
            return ""
        return (
            f"each of the {self.inputs} inputs has a region of its own: the count says nothing "
            f"about the network; try smaller inputs, or more of them"
        )

    @property
    def unseen(self) -> float:
        """f1 / n: how probable it is that a further input falls into an unseen region.

        Source: Good, "The population frequencies of species", Biometrika 1953 (after Turing).
        """
        return self.once / self.inputs

    @property
    def unseen_error(self) -> float:
        """The standard error of `unseen`, sqrt(f1 (1 - f1 / n) + 2 f2) / n.

        Source: Esty, Annals of Statistics 1983.
        """
        n, f1, f2 = self.inputs, self.once, self.twice
        return sqrt(f1 * (1 - f1 / n) + 2 * f2) / n

    @property
    def richness(self) -> Richness | None:
        """Chao1: at least how many regions the inputs' distribution reaches, estimated.

            S = count + A f1^2 / (2 f2),    A = (n - 1) / n

        with f1 (f1 - 1) / 2 for the quotient where f2 = 0; the interval is that of a lognormal
        S - count. None where no pattern came twice: the inputs then set no upper bound.

        Source: Chao, Biometrics 1987; Chao et al., Ecological Monographs 2014, for A.
        """
        n, f1, f2 = self.inputs, self.once, self.twice
        if self.saturated:
            return None
        a = (n - 1) / n
        if f2 > 0:
            q = f1 / f2
            more = a * f1 * q / 2
            variance = f2 * (a * q**2 / 2 + a**2 * q**3 + a**2 * q**4 / 4)
        else:
            more = a * f1 * (f1 - 1) / 2
            variance = more + a**2 * f1 * (2 * f1 - 1) ** 2 / 4
            variance -= a**2 * f1**4 / (4 * (self.count + more))
        if more == 0:
            return Richness(*[float(self.count)] * 3)
        spread = exp(NormalDist().inv_cdf(0.975) * sqrt(log(1 + variance / more**2)))
        return Richness(self.count + more, self.count + more / spread, self.count + more * spread)


def count_regions(
    model: nn.Module,
    x: Tensor,
    *,
    batchnorm: Policy = "running",
    chunk: int | None = None,
    apart: bool = False,
) -> Regions:
    """Counts the activation patterns of `model` on the inputs `x`.

    The model is left as it was. Nonlinearities that are not piecewise linear have no pieces; see
    `untrained.regions.piecewise_linear` for those that have. A network in which none is seen must
    be affine, which is tried. Where entries of a maximum are equal whatever the input, as when
    windows overlap, rounding decides between them; `slices` does not.

    Args:
        model: any network whose first argument is a batch.
        x: n inputs.
        batchnorm: with `batch` and `frozen` alike, BatchNorm uses the statistics of all of `x`.
        chunk: inputs in one pass through the network, which bounds the memory; None for all.
            Where BatchNorm needs the statistics of `x`, chunks cost one more pass, up to there,
            for each of its layers. Sums in another order are rounded otherwise, so that an input
            within rounding of a border may change sides.
        apart: each chunk is normalised by its own statistics, so that the regions are those of
            several functions, and a pattern that two of them have is counted once.

    Raises:
        ValueError: an activation that is not finite, or a nonlinearity on something other than
            one row for each input, or no inputs; a network whose activations cannot be seen, or
            are all smooth.

    Example:
        >>> line = torch.linspace(-1, 1, 100)[:, None]
        >>> activation = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU())
        >>> count_regions(activation, line)
        Regions(count=2, inputs=100, neurons=1, once=0, twice=0)
    """
    if len(x) < 1 or (chunk is not None and chunk < 1):
        raise ValueError(
            f"expected one input or more, in chunks of as many, got {len(x)} and chunk={chunk!r}"
        )
    model, chunks = unwrapped(model), x.split(chunk or len(x))
    policy = policy_mode(batchnorm, model)
    multiplicity: Counter[bytes] = Counter()
    neurons = set()
    with evaluating(model), torch.no_grad(), foreign(x):
        if len(chunks) > 1 and batchnorm != "running" and not apart:
            policy = FrozenStatistics(model)
            policy.calibrate(model, chunks)
        for part in chunks:
            if apart:
                policy = policy_mode(batchnorm, model)  # with statistics of its own
            with PatternHash(len(part)) as patterns, policy:
                model(part.clone())  # a network may change its input in place
            multiplicity.update(patterns.digests())
            neurons.add(patterns.neurons)
        if neurons == {0}:
            check_affine(model, chunks[-1], batchnorm)
    if len(neurons) > 1:
        raise ValueError(
            f"expected the same units for every input, got {sorted(neurons)} of them: the "
            f"network's form depends on its batch; try chunk=None"
        )
    often = Counter(multiplicity.values())
    return Regions(len(multiplicity), len(x), neurons.pop(), often[1], often[2])
