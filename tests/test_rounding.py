"""What rounding leaves of a kernel's spectrum, through all that may be made of the kernel.

Two of the examples are nearly equal, so that the smallest eigenvalue is far below what products in
float32 resolve. The truth is the same kernel in float64 throughout.
"""

import copy
import io
import pickle
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from untrained.analysis.alignment import normalised
from untrained.analysis.blocks import Blocks, mixture, split
from untrained.analysis.kernel import Kernel, rounded
from untrained.analysis.label_energy import label_energy
from untrained.analysis.rounding import Rounding
from untrained.analysis.spectrum import spectrum
from untrained.kernels.nngp import nngp, nngp_blocks
from untrained.kernels.ntk import ntk, ntk_contributions
from untrained.layerwise.contraction import ROUNDING
from untrained.networks.readout import Output

N, K = 21, 3
ORDER = torch.randperm(N, generator=torch.Generator().manual_seed(1))
MASK = torch.arange(N) != 4
EYE = torch.eye(N, dtype=torch.float64)


def task(near: float = 1e-4) -> tuple[nn.Module, Tensor]:
    """A network and examples of which the last is nearly the first."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
    net.append(nn.Linear(128, K))
    x = torch.randn(N - 1, 6)
    return net, torch.cat([x, x[:1] + near])


@cache
def kernels(output: Output = "sum") -> tuple[Kernel, Tensor]:
    """Ours of a network in float32, and that of the same network in float64, as a plain tensor."""
    net, x = task()
    found = ntk(net, x, output=output, precision="float32")
    exact = ntk(net.double(), x.double(), output=output, method="loop")
    return found, exact.as_subclass(Tensor)


def is_kernel(theta: object) -> Kernel:
    assert isinstance(theta, Kernel)
    return theta


def saved(theta: Tensor, weights_only: bool) -> Any:
    file = io.BytesIO()
    torch.save({"theta": theta / 2}, file)
    file.seek(0)
    return torch.load(file, weights_only=weights_only)["theta"]


def in_place(theta: Tensor) -> Tensor:
    theta = theta.clone()
    theta /= 10
    theta *= 3
    theta += 1e-12 * EYE.to(theta)
    theta -= 1e-12 * EYE.to(theta)
    theta[0, 1] = theta[1, 0]
    return theta.mul_(2).div_(5)


def added_up(theta: Tensor) -> Tensor:
    """Into zeros, as sums and means are written by hand."""
    total = torch.zeros(N, N, dtype=torch.float64)
    for weight in (1, 2):
        total += weight * theta
    return total / 3


def assembled(theta: Tensor) -> Tensor:
    a, b = theta[:8], theta[8:]
    return torch.cat([torch.hstack([a[:, :8], a[:, 8:]]), torch.hstack([b[:, :8], b[:, 8:]])])


def out(theta: Tensor) -> Tensor:
    return torch.mul(theta, 3, out=torch.empty_like(theta))


MADE: dict[str, Callable[[Tensor], Any]] = {
    "itself": lambda k: k,
    "divided by a number": lambda k: k / K,
    "divided by a tensor": lambda k: k / k.diagonal().mean(),
    "divided by NumPy's number": lambda k: np.float64(0.1) * k,
    "twice": lambda k: 2 * k,
    "minus minus": lambda k: (-k).neg(),
    "plus a number": lambda k: 1e-9 + k,
    "number minus minus": lambda k: 0 - (0 - k),
    "a tiny ridge": lambda k: k + 1e-9 * EYE,
    "in place": in_place,
    "added up": added_up,
    "given a place": out,
    "sum": lambda k: k + k,
    "sum with a factor": lambda k: k.add(k, alpha=2),
    "difference": lambda k: k - 0.5 * k,
    "sum of shares": lambda k: sum([0.5 * k, k / 2]),
    "mean of draws": lambda k: torch.stack([k, k, k]).mean(0),
    "sum of draws": lambda k: torch.stack([k, k]).sum(0),
    "double": lambda k: k.double(),
    "to": lambda k: k.to("cpu", torch.float64),
    "cpu": lambda k: k.cpu(),
    "float": lambda k: k.float(),
    "float and back": lambda k: k.float().double(),
    "detach": lambda k: k.detach(),
    "data": lambda k: k.data,
    "clone": lambda k: k.clone(),
    "transposed, contiguous": lambda k: k.T.contiguous(),
    "symmetrised": lambda k: (k + k.mT) / 2,
    "slice": lambda k: k[:N, :N],
    "mask": lambda k: k[MASK][:, MASK],
    "numbers": lambda k: k[ORDER[:, None], ORDER],
    "index_select": lambda k: k.index_select(0, ORDER).index_select(1, ORDER),
    "reversed": lambda k: k.flip(0, 1),
    "reshaped": lambda k: k.reshape(N, 1, N).squeeze(1).view(N, N),
    "split and assembled": assembled,
    "product with a permutation": lambda k: EYE[ORDER] @ k @ EYE[ORDER].T,
    "einsum": lambda k: torch.einsum("ij,jk->ik", EYE[ORDER], k) @ EYE[ORDER].T,
    "correlations": lambda k: k / k.diagonal().sqrt()[:, None] / k.diagonal().sqrt(),
    "centred": lambda k: k - k.mean(0) - k.mean(1, keepdim=True) + k.mean(),
    "normalised": normalised,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda k: pickle.loads(pickle.dumps(k)),
    "saved": lambda k: saved(k, weights_only=False),
    "saved, loaded as weights": lambda k: saved(k, weights_only=True),
    "as_tensor": torch.as_tensor,
    "a buffer": lambda k: nn.Buffer(k).detach() if hasattr(nn, "Buffer") else k,
    "blocks": lambda k: split(k, N - 2).train[ORDER[ORDER < N - 2]][:, ORDER[ORDER < N - 2]],
    "a mixture": lambda k: mixture(Blocks(k, k), Blocks(k, k), 0.3).train,
}


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_what_is_made_of_a_kernel_resolves_no_more(made: Callable[[Tensor], Tensor]) -> None:
    found, exact = (made(kernel) for kernel in kernels())
    assert isinstance(found, Kernel)
    seen = spectrum(found)
    error = seen.eigenvalues[0] - torch.linalg.eigvalsh(exact)[0]
    assert abs(error) <= seen.resolution * seen.eigenvalues[-1]
    # no more than the kernel itself resolves, but for a few examples less
    n = len(found)
    assert seen.resolution >= n * ROUNDING["float32"]
    if n == N and made is not MADE["centred"]:
        assert seen.condition_number is None
        assert "below the resolution" in seen.reason


BY_CLASS: dict[str, Callable[[Tensor], Any]] = {
    "one class": lambda k: k.reshape(N, K, N, K)[:, 0, :, 0],
    "sum": lambda k: k.reshape(N, K, N, K).sum((1, 3)),
    "trace": lambda k: k.reshape(N, K, N, K).diagonal(dim1=1, dim2=3).sum(-1),
    "trace by einsum": lambda k: torch.einsum("ikjk->ij", k.reshape(N, K, N, K)),
    "mean over classes": lambda k: k.view(N, K, N, K).permute(1, 3, 0, 2).mean((0, 1)),
    "unbound": lambda k: sum(k[c::K, c::K] for c in range(K)),
}


@pytest.mark.parametrize("made", BY_CLASS.values(), ids=BY_CLASS)
def test_a_full_kernel_by_class(made: Callable[[Tensor], Tensor]) -> None:
    found, exact = (made(kernel) for kernel in kernels("full"))
    seen = spectrum(found)
    assert isinstance(found, Kernel)
    assert seen.condition_number is None
    error = seen.eigenvalues[0] - torch.linalg.eigvalsh(exact)[0]
    assert abs(error) <= seen.resolution * seen.eigenvalues[-1]


def test_means_over_classes_of_examples() -> None:
    found, exact = kernels()
    p = F.one_hot(torch.arange(N) % 5).double()
    p = p / p.sum(0)
    seen = spectrum(p.T @ found @ p)
    assert isinstance(p.T @ found @ p, Kernel)
    truth = torch.linalg.eigvalsh(p.T @ exact @ p)
    assert seen.condition_number == pytest.approx((truth[-1] / truth[0]).item(), rel=1e-4)


def test_a_part_keeps_the_absolute_error_of_the_whole() -> None:
    """Small examples beside large ones: a share of the part's own entries would say too little."""
    net, x = task()
    x = torch.cat([x[:10] * 100, x[10:] * 1e-3])
    theta = ntk(net, x, precision="float32")
    whole, part = theta.rounding, is_kernel(theta[10:, 10:])
    assert part.rounding == whole
    seen = spectrum(part)
    floor = len(part) * ROUNDING["float32"] * theta.max().item()
    assert seen.resolution * seen.eigenvalues[-1].item() == pytest.approx(floor)
    assert seen.resolution > 10 * part.resolution
    # of a part with the largest entries, it is what the part alone would have
    head = is_kernel(theta[:10, :10])
    assert spectrum(head).resolution == head.resolution == 10 * ROUNDING["float32"]


def test_a_ridge_is_resolved_once_it_is_larger_than_the_noise() -> None:
    found, exact = kernels()
    unit = exact.diagonal().mean()
    seen = spectrum(found + 1e-3 * unit * EYE)
    truth = torch.linalg.eigvalsh(exact + 1e-3 * unit * EYE)
    assert seen.condition_number == pytest.approx((truth[-1] / truth[0]).item(), rel=1e-3)
    assert spectrum(found + 1e-9 * unit * EYE).condition_number is None


LOST: dict[str, Callable[[Tensor], Tensor]] = {
    "NumPy": lambda k: torch.from_numpy(np.asarray(k)),
    "a list": lambda k: torch.tensor(k.tolist(), dtype=torch.float64),
    "a power": lambda k: k**1,
    "a product with itself": lambda k: k * k,
    "row by row": lambda k: torch.stack(list(k)),
    "beside a matrix": lambda k: torch.cat([k[:5], torch.as_tensor(k[5:].numpy())]),
}


@pytest.mark.parametrize("made", LOST.values(), ids=LOST)
def test_what_cannot_be_followed_is_a_plain_tensor(made: Callable[[Tensor], Tensor]) -> None:
    """And of a plain tensor no more is believed than its entries in float32 would give."""
    found = made(kernels()[0])
    assert type(found) is Tensor
    seen = spectrum(found)
    assert seen.resolution >= spectrum(kernels()[0]).resolution
    assert seen.condition_number is None or seen.condition_number * seen.resolution < 1
    assert "precision=torch.float64" in seen.assumed


IN_PLACE: dict[str, Callable[[Tensor], object]] = {
    "sqrt": lambda k: k.abs_().sqrt_(),
    "copy": lambda k: k.copy_(torch.eye(N)),
    "other data": lambda k: setattr(k, "data", torch.eye(N, dtype=torch.float64)),
    "out": lambda k: torch.exp(EYE, out=k),
    "a square": lambda k: k.mul_(k.clone()),
}


@pytest.mark.parametrize("change", IN_PLACE.values(), ids=IN_PLACE)
def test_a_kernel_changed_in_place_by_what_cannot_be_followed_resolves_nothing(
    change: Callable[[Tensor], object],
) -> None:
    kernel = kernels()[0].clone()
    change(kernel)
    assert isinstance(kernel, Kernel)
    assert spectrum(kernel).condition_number is None
    assert spectrum(2 * kernel).entropy_rank is None


def test_what_was_saved_is_what_comes_back() -> None:
    theta = kernels()[0]
    for made in (copy.copy, copy.deepcopy, lambda k: pickle.loads(pickle.dumps(k))):
        found = made(theta)
        assert torch.equal(found, theta)
        assert (found.plan, found.rounding) == (theta.plan, theta.rounding)
    assert saved(theta, weights_only=True).plan == theta.plan
    assert copy.deepcopy([theta, theta])[0] is not theta


def test_rows_numbers_and_masks_are_no_kernels() -> None:
    theta = kernels()[0]
    for plain in (
        theta[0],
        theta.diagonal(),
        theta.mean(),
        theta > 0,
        theta.long(),
        theta @ EYE[0],
    ):
        assert type(plain) is Tensor
    largest, vectors = torch.linalg.eigh(theta)
    assert type(largest) is type(vectors) is Tensor


def test_the_parts_of_kernels_split_in_many_ways() -> None:
    theta = kernels()[0]
    for parts in (theta.split(4), theta.chunk(3), torch.stack([theta, theta]).unbind()):
        assert all(is_kernel(part).rounding == theta.rounding for part in parts)


def test_each_kernel_has_its_own_precision() -> None:
    net, x = task()
    shares = ntk_contributions(net, x, precision="float64")
    for share in (*shares.values(), sum(shares.values())):
        assert is_kernel(share).resolution == pytest.approx((N * 2**-23) ** 2)
    generator = torch.Generator().manual_seed(0)
    prior = nngp(net, x, generator=generator)
    assert is_kernel(prior.mean).resolution == (N * 2**-23) ** 2
    exact = nngp(net.double(), x.double(), generator=generator)
    assert is_kernel(exact.mean).resolution == N * 2**-52
    blocks = nngp_blocks(net.float(), x[:15], x[15:], generator=generator)
    for block in (blocks.train, blocks.validation):
        assert is_kernel(block).rounding.factors == 2**-23


def test_the_least_precise_parameter_decides() -> None:
    net = nn.Sequential(
        nn.Linear(6, 4, dtype=torch.bfloat16), nn.Linear(4, 2, dtype=torch.bfloat16)
    )
    net = nn.Sequential(nn.Linear(6, 6), net)

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = net

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x).bfloat16()).float()

    theta = ntk(Mixed(), torch.randn(3, 6), method="loop")
    assert theta.rounding.factors == torch.finfo(torch.bfloat16).eps


def test_label_energies_know_the_resolution() -> None:
    theta = kernels()[0]
    labels = torch.arange(N) % 2
    energy = label_energy(theta / 7, labels)
    assert energy.spectrum.resolution == spectrum(theta).resolution
    assert len(energy.spectrum.resolved) < N
    assert len(energy.shares) == N


def test_kernels_that_overflowed_resolve_nothing() -> None:
    kernel = torch.eye(3, dtype=torch.float64)
    kernel[2, 2] = torch.nan
    found = rounded(kernel, torch.float32)
    assert "NaN" in spectrum(found).reason
    assert spectrum(found[:2, :2]).condition_number is None


def test_scales_of_sums_and_differences() -> None:
    one, two = Rounding(1e-3, 1e-7, 2.0), Rounding(1e-7, 1e-6, 5.0)
    assert one.plus(two) == Rounding(1e-3, 1e-6, 7.0)
    assert one.beside(two) == Rounding(1e-3, 1e-6, 5.0)
    assert one.apart().entries == 1e-3
    assert one.times(0.0).scale == 0
    assert one.plus(two.times(0.0)) == one == two.times(0.0).plus(one)
    assert one.resolution(10, 1.0) == 2 * one.resolution(10, 4.0) == 2 * one.share(10) == 2e-4
    assert one.resolution(10, 0.0) == one.share(10)
