"""How alike a network's data Jacobians are under different weights."""

from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import ClassVar

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from untrained.analysis.alignment import centred_alignment
from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.borrowed import borrowed
from untrained.networks.choices import Policy
from untrained.networks.unwrapping import unwrapped
from untrained.networks.weights import Initialisation
from untrained.scores.data_jacobian import DataJacobianView
from untrained.scores.score import Reading, Score, finite


@dataclass(frozen=True)
class ContrastiveAlignment(Score):
    """mean over pairs of draws a, b of CKA(Z_a Z_a', Z_b Z_b'); higher, more alike.

        J_i = d (sum_k f_k(x_i)) / d x_i,    J = U S V',    Z = the first `dimensions` of U S

    Each draw of the weights gives Z, the embedding that the source calls the extended projected
    data Jacobian matrix, with a row for each image. There an encoder is trained to bring the Z of
    one architecture under different weights together and those of others apart, and accuracies
    are predicted from what it gives, which says nothing of a single network. This is how near
    those positive pairs are before any encoder, a score of ours.

    Source: Hesslow & Poli, "Contrastive Embeddings for Neural Architectures", 2021,
    https://arxiv.org/abs/2102.04208, which takes 256 images, 4 draws and 128 dimensions.
    """

    meaning: ClassVar = (
        "How alike the gradients of the outputs with respect to the pixels are under different "
        "random weights: the alignment of their kernels between images. Where it is high, the "
        "architecture rather than the weights decides which images are told apart."
    )
    draws: int = 4
    "Draws of the weights that are compared."
    dimensions: int = 128
    "Of the embedding of an image: the largest singular values that are kept."
    initialisation: str = "kaiming_fan_in"
    "The law of the weights."
    batchnorm: Policy = "batch"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."

    higher_is_better: ClassVar = True
    network: ClassVar = "narrow"
    probe: ClassVar = ProbeSpec(count=256, at_most=True)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        if self.draws < 2 or self.dimensions < 1:
            return Reading(
                None,
                f"expected two draws or more and one dimension or more, got draws={self.draws!r} "
                f"and dimensions={self.dimensions!r}",
            )
        network, view = unwrapped(network), DataJacobianView(self.batchnorm)
        with borrowed(network):
            initialisation = Initialisation.of(network, self.initialisation, probe.inputs[:1])
            kernels = []
            for _ in range(self.draws):
                initialisation.draw(generator)
                kernels.append(self._kernel(view(network, probe, generator)))
        found = [centred_alignment(a, b) for a, b in combinations(kernels, 2)]
        if reason := next((each.reason for each in found if each.value is None), ""):
            return Reading(None, reason)
        return finite(fmean(each.value for each in found if each.value is not None))

    def _kernel(self, j: Float[Tensor, "n d"]) -> Float64[Tensor, "n n"]:
        """Z Z', as J J' = U S^2 U'."""
        if not j.isfinite().all():
            raise ValueError(
                "the Jacobian is NaN or infinite: a pass through the network overflowed"
            )
        values, u = torch.linalg.eigh(j.double() @ j.double().T)
        kept = slice(max(0, len(values) - self.dimensions), None)
        return (u[:, kept] * values[kept]) @ u[:, kept].T
