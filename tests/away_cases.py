"""What is run on a device that is not there (see `away`), each with what the CPU gives.

python tests/away_cases.py    # a line of JSON: name -> what is wrong; empty for nothing
"""

import copy
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from untrained import (
    count_regions,
    draw_weights,
    features,
    nngp,
    ntk,
    ntk_contributions,
    ntk_operator,
    regression,
    spectrum,
)
from untrained.analysis.alignment import label_alignment
from untrained.images import load_images
from untrained.images.probe import Probe
from untrained.networks.readout import random_readout
from untrained.networks.unwrapping import eager
from untrained.regions.slices import line_regions, plane_regions
from untrained.scores import SCORES
from untrained.training import Recipe, evaluate, train_short

Case = Callable[[nn.Sequential, Tensor], Any]
"From a network and images, both on one device, to something that is the same on any."


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 18, 3, groups=2), nn.BatchNorm2d(18), nn.LeakyReLU(), nn.Conv2d(18, 8, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(8), nn.Hardtanh(), nn.Linear(8, 10),
    )  # fmt: skip


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def kernel(method: str, policy: str, output: str) -> Case:
    return lambda m, x: ntk(m, x, method=method, batchnorm=policy, output=output)  # type: ignore[arg-type]


def attention(m: nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).to(x.device)
    return ntk(block, x.flatten(1)[:, :24].unflatten(1, (3, 8)))


def words(m: nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(0)
    table = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 2)).to(x.device)
    return ntk(table, (x.flatten(1)[:, :3].abs() * 3).long().clamp(max=8))


class LookedUp(nn.Module):
    """A weight some of whose rows meet the inputs, by numbers that lie in a buffer."""

    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(5, 12))
        self.register_buffer("rows", torch.tensor([4, 0, 2, 2]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x.flatten(1)[:, :12], self.weight[self.rows])


def looked_up(m: nn.Module, x: Tensor) -> Tensor:
    model = LookedUp().to(x.device)
    draw_weights(model, "kaiming_fan_in", seeded(), x=x)
    return model.weight.detach()


def residual(m: nn.Module, x: Tensor) -> Tensor:
    """A network that no survey can follow."""

    class Slope(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.m = m

        def forward(self, x: Tensor) -> Tensor:
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                return torch.autograd.grad(self.m(x).sum(), x, create_graph=True)[0].flatten(1)

    return ntk(Slope(), x, x[:3])


def of_score(name: str) -> Case:
    def score(m: nn.Module, x: Tensor) -> Any:
        probe = Probe(x, (torch.arange(len(x)) % 3).to(x.device), 10, "digits")
        found = SCORES[name]()(m, probe, seeded())
        return found.reason if found.value is None else found.value

    return score


def step(m: nn.Module, x: Tensor) -> Tensor:
    images = load_images("digits")
    small = replace(images, train=images.train.some(32, seeded()))
    recipe = Recipe(epochs=1, batch=16, cutout=2, label_smoothing=0.1)
    train_short(m, small, recipe, device=str(x.device))
    found = evaluate(m, small.train, small, device=str(x.device))
    weights = torch.cat([p.detach().flatten() for p in m.parameters()])
    return weights * found.loss


INDEPENDENT, COUPLING = ("structured", "vmap"), ("auto", "loop", "batched", "products")
CASES: dict[str, Case] = {
    **{
        f"ntk, {method}, {policy}": kernel(method, policy, "sum")
        for method, policy in product((*INDEPENDENT, *COUPLING), ("running", "frozen", "batch"))
        if policy != "batch" or method in COUPLING
    },
    **{f"ntk, {method}, full": kernel(method, "frozen", "full") for method in INDEPENDENT},
    "ntk of two batches": lambda m, x: ntk(m, x, x[:3]),
    "ntk of projections": lambda m, x: ntk(m, x, output=random_readout(10, 3, seeded())),
    "ntk of one output": lambda m, x: ntk(m, x, output=3),
    "ntk in tiles": lambda m, x: ntk(m, x, batchnorm="frozen", memory=200_000),
    "ntk in bfloat16": lambda m, x: ntk(m, x, precision="bfloat16"),
    "ntk of attention": attention,
    "ntk of words": words,
    "ntk without a survey": residual,
    "weights that are looked up": looked_up,
    "contributions": lambda m, x: torch.stack(list(ntk_contributions(m, x).values())),
    "operator": lambda m, x: ntk_operator(m, x, chunk=3) @ torch.ones(6).double().numpy(),
    "spectrum": lambda m, x: spectrum(ntk(m, x)).effective_rank,
    "alignment": lambda m, x: label_alignment(ntk(m, x), (torch.arange(6) % 3).to(x.device))[0],
    "regression": lambda m, x: regression(
        ntk(m, x), (torch.arange(6) % 3).to(x.device)
    ).leave_one_out.squared_error,
    **{
        f"{name}, {policy}": partial(call, batchnorm=policy)
        for policy in ("running", "frozen", "batch")
        for name, call in {
            "regions": lambda m, x, batchnorm: count_regions(m, x, batchnorm=batchnorm).count,
            "features": lambda m, x, batchnorm: features(m, x, batchnorm=batchnorm).z,
            "nngp": lambda m, x, batchnorm: nngp(
                m, x, x[:2], generator=seeded(), draws=2, batchnorm=batchnorm
            ).mean,
        }.items()
    },
    "regions in chunks": lambda m, x: count_regions(m, x, batchnorm="frozen", chunk=2).once,
    "one region": lambda m, x: count_regions(m[:2], x, batchnorm="batch").count,
    "regions on a line": lambda m, x: line_regions(m[:10], x[0], x[1]).count,
    "regions in a plane": lambda m, x: plane_regions(
        m[:2].append(m[2]), x[:3] / 9, batchnorm="frozen", reference=x  # type: ignore[operator]
    ).count,
    **{
        f"score {name}": of_score(name)
        for name, kind in SCORES.items()
        if not kind.of_machine and name != "training_memory"  # a device's own temporaries count
    },
    "a training step": step,
}  # fmt: skip


def wrong(
    case: Case, x: Tensor, device: torch.device, there: Callable[[], AbstractContextManager[Any]]
) -> str:
    """What differs between the device and the CPU, in one line."""
    expected = case(network(), x)
    with there(), eager():
        try:
            found = case(network().to(device), x.to(device))
        except Exception as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0]}"
        if isinstance(found, Tensor) and found.device != device:
            return f"the result is on {found.device}"
    if isinstance(found, str):  # the reason why there is no number
        return "" if found == expected else f"{found} instead of {expected}"
    a, b = (torch.as_tensor(value).cpu().double() for value in (found, expected))
    near = torch.allclose(a, b, rtol=1e-4, atol=1e-6 * max(1.0, float(b.abs().max())))
    return "" if near else f"{a} instead of {b}"


def images() -> Tensor:
    """What the cases are shown."""
    digits = load_images("digits")
    return digits.normalise(digits.train.pixels[:6])


def main() -> None:
    from away import DEVICE, Machine

    torch.set_num_threads(1)
    x = images()
    told = {name: wrong(case, copy.deepcopy(x), DEVICE, Machine) for name, case in CASES.items()}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
