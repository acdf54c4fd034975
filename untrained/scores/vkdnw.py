"""VKDNW: how evenly a network's weights can be estimated, by its Fisher information."""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.batchnorm import evaluating, policy_mode
from untrained.networks.foreign import foreign
from untrained.networks.jacobian import Swapped, parameters_kept, quiet
from untrained.networks.readout import flattened
from untrained.networks.unwrapping import unwrapped
from untrained.scores.score import Reading, View, ViewScore

TOGETHER = 16
"Images whose Jacobians are computed at once."


class FisherInformation(NamedTuple):
    """What is known of a network's weights."""

    information: Float64[Tensor, "p p"]
    "F, of the weights that were taken."
    tensors: int
    "Tensors of parameters that the network has."


@dataclass(frozen=True)
class FisherView(View):
    """F = mean_i J_i^T C_i J_i, of a few weights of each of the first tensors of parameters.

    J_i are the derivatives of the logits of image i, and C_i = diag(p) - p p^T the covariance of
    a label drawn from p = 0.95 softmax(logits) + 0.05 / k.
    """

    tensors: int
    each: int
    fisher: Literal["exact", "released"]

    def __call__(
        self, network: nn.Module, probe: Probe, generator: torch.Generator
    ) -> FisherInformation:
        model, x = unwrapped(network), probe.inputs
        with evaluating(model), torch.no_grad(), foreign(x):
            with policy_mode("running", model):
                f = flattened(model(x.clone()), len(x)).double()
            j = jacobian(model, x, self.tensors, self.each).double()
        p = 0.95 * f.softmax(1) + 0.05 / f.shape[1]
        factor = covariance_factor(p)
        factors = (factor if self.fisher == "released" else factor.mT) @ j
        rows = factors.flatten(0, 1)
        return FisherInformation(rows.T @ rows / len(x), len(list(model.parameters())))


@dataclass(frozen=True)
class VKDNW(ViewScore):
    """-sum_q t_q log t_q, t the deciles 1 to 9 of the eigenvalues of F, over their sum.

    Higher is more even: no direction of the weights is known much better than others. As the
    authors do, F is of a single weight of each of the first 128 tensors of parameters, and
    BatchNorm takes its running statistics, which change nothing at initialisation.

    Source: Tybl & Neumann, "Training-free Neural Architecture Search through Variance of
    Knowledge of Deep Network Weights", CVPR 2025, https://arxiv.org/abs/2502.04975, equation 11,
    which takes whole networks.
    """

    meaning: ClassVar = (
        "Entropy of the deciles of the Fisher information's eigenvalues (VKDNW). "
        "Where it is high, all weights can be estimated about equally well."
    )
    tensors: int = 128
    "How many tensors of parameters are taken, the network's first."
    each: int = 1
    "Weights of each, evenly spaced from its first to its last; its first alone if one."
    fisher: Literal["exact", "released"] = "exact"
    """`released` computes J^T L^T L J with C = L L^T, as the authors' code does; their formula is
    J^T L L^T J."""

    higher_is_better: ClassVar = True
    network: ClassVar[Literal["full", "narrow"]] = "narrow"
    probe: ClassVar = ProbeSpec(count=64)
    weights: ClassVar = "kaiming_fan_in"

    @property
    def view(self) -> FisherView:
        return FisherView(self.tensors, self.each, self.fisher)

    def of(self, seen: FisherInformation, probe: Probe) -> Reading:
        if not seen.information.isfinite().all():
            return Reading(None, "the Fisher information is NaN or infinite: a pass overflowed")
        values = torch.linalg.eigvalsh(seen.information).clamp(min=0)
        deciles = values.quantile(torch.arange(1, 10).to(values) / 10)
        if not deciles.sum() > 0:
            return Reading(None, "nine tenths of the Fisher information's eigenvalues are zero")
        t = deciles / deciles.sum()
        return Reading(-torch.xlogy(t, t).sum().item())


@dataclass(frozen=True)
class VKDNWSingle(VKDNW):
    """The number of tensors of parameters plus VKDNW, which decides between equals.

    Source: as of VKDNW, equation 12; its authors' code counts tensors for layers.
    """

    meaning: ClassVar = "VKDNW plus the number of tensors of parameters, a measure of size."

    def of(self, seen: FisherInformation, probe: Probe) -> Reading:
        value, reason, _ = super().of(seen, probe)
        return Reading(None if value is None else seen.tensors + value, reason)


@dataclass(frozen=True)
class ReleasedVKDNW(VKDNW):
    """VKDNW as its authors' code computes it: of J^T L^T L J, where the formula is J^T L L^T J."""

    meaning: ClassVar = (
        "VKDNW as its authors' code computes it, with the factors of the Fisher information in "
        "another order."
    )
    network: ClassVar = "full"
    fisher: Literal["exact", "released"] = "released"


def jacobian(model: nn.Module, x: Tensor, tensors: int, each: int) -> Float[Tensor, "n k p"]:
    """Derivatives of each image's outputs by `each` numbers of the first tensors of parameters."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    taken = list(parameters.items())[:tensors]
    places = {
        name: torch.linspace(0, p.numel() - 1, min(each, p.numel())).long().to(p.device)
        for name, p in taken
    }
    theta = {name: p.flatten()[places[name]] for name, p in taken}
    policy = policy_mode("running", model)

    def outputs(theta: dict[str, Tensor], x_i: Tensor) -> Float[Tensor, " k"]:
        swapped = {
            name: parameters[name].flatten().index_copy(0, places[name], numbers)
            for name, numbers in theta.items()
        }
        shaped = {name: flat.view_as(parameters[name]) for name, flat in swapped.items()}
        policy.own.add(shaped)
        return flattened(functional_call(model, {**parameters, **shaped}, (x_i[None],)), 1)[0]

    def of_one(x_i: Tensor) -> Float[Tensor, "k p"]:
        f, pull = vjp(lambda theta: outputs(theta, x_i), theta)[:2]
        (rows,) = vmap(pull)(torch.eye(len(f), dtype=f.dtype, device=f.device))
        return torch.cat(list(rows.values()), 1)

    with policy, Swapped(model), parameters_kept(model), quiet():
        return torch.cat([vmap(of_one)(some.clone()) for some in x.split(TOGETHER)])


def covariance_factor(p: Float64[Tensor, "n k"]) -> Float64[Tensor, "n k k"]:
    """L, lower triangular, with L L^T = diag(p) - p p^T for each row p that sums to 1.

        L_jj = d_j,  L_kj = -d_j p_k / q_j for k > j,  d_j = sqrt(p_j q_j / q_{j-1})

    with q_j = 1 - p_1 - ... - p_j; the last d is zero.

    Source: Tanabe & Sagae, "An exact Cholesky decomposition and the generalized inverse of the
    variance-covariance matrix of the multinomial distribution", JRSS B 1992.
    """
    q = p.flip(1).cumsum(1).flip(1)  # q_{j-1}, the sum from p_j on
    after = torch.cat([q[:, 1:], torch.zeros_like(q[:, :1])], 1)
    d = (p * after / q).sqrt()
    below = -(p[:, :, None] * (d / after.clamp(min=torch.finfo(p.dtype).tiny))[:, None])
    return below.tril(-1) + torch.diag_embed(d)
