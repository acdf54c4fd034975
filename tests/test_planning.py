"""Plans: exact under any ceiling of memory, below it, and refused in words."""

import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import naive
import pytest
import torch
import zoo
from compare import deviation
from held import Held
from torch import Tensor, nn

from untrained.analysis.kernel import Kernel
from untrained.analysis.regression import regression
from untrained.analysis.spectrum import spectrum
from untrained.kernels.choice import METHODS, Method, choose
from untrained.kernels.ntk import ntk, ntk_contributions
from untrained.networks.choices import Policy
from untrained.networks.readout import Output

SOME = ["convolution used twice", "layer used twice", "weight norm"]
OUTPUTS: tuple[Output, ...] = ("sum", "trace", "full")


@pytest.fixture(autouse=True)
def _small_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that rows of a parameter are cut into parts as well."""
    monkeypatch.setattr("untrained.kernels.planning.LEAST_WORKSPACE", 64)


@cache
def truth(name: str, output: Output) -> Tensor:
    model, x = twice(name)
    return naive.ntk(model.eval(), x, zoo.trainable(model), output)


def twice(name: str) -> tuple[nn.Module, Tensor]:
    """A network of the zoo with twice as many examples."""
    model, x = zoo.make(name)
    other = 0.7 * x.flip(0) if x.is_floating_point() else x.flip(1)
    return model, torch.cat([x, other])


def climb(compute: Callable[[int], Kernel], enough: int) -> Iterator[Kernel]:
    """What the lowest ceiling that is high enough gives, and a few higher ones."""
    memory = 600
    while enough and memory < 10**7:
        try:
            found = compute(memory)
        except ValueError as error:
            if "expected a ceiling above" not in str(error):
                raise
            memory = int(1.15 * memory)
            continue
        assert found.plan.memory == memory
        yield found
        memory, enough = int(1.5 * memory), enough - 1


def planned(name: str, method: Method, output: Output, enough: int = 5) -> Iterator[Kernel]:
    model, x = twice(name)
    return climb(lambda memory: ntk(model, x, output=output, method=method, memory=memory), enough)


@pytest.mark.parametrize(
    ("name", "method"),
    [*((name, "structured") for name in SOME),
     *(("layer used twice", method) for method in ("vmap", "loop"))],
)  # fmt: skip
def test_exact_under_every_ceiling(name: str, method: Method) -> None:
    output: Output = "sum" if method == "vmap" else OUTPUTS[len(name + method) % 3]
    plans = set()
    for theta in planned(name, method, output):
        plan = theta.plan
        assert deviation(theta, truth(name, output)) < 1e-10, plan
        plans.add((plan.chunk, plan.side, plan.groups, plan.columns))
    assert len(plans) > 1
    assert any(len(groups) > 1 for _, _, groups, _ in plans)
    if (name, method) == ("convolution used twice", "structured"):
        assert {side < len(twice(name)[1]) for _, side, _, _ in plans} == {True, False}


@pytest.mark.parametrize("method", ["batched", "products"])
def test_exact_under_a_few_ceilings(method: Method) -> None:
    for theta in planned("layer used twice", method, "trace", enough=2):
        assert deviation(theta, truth("layer used twice", "trace")) < 1e-10, theta.plan


@pytest.mark.parametrize("method", ["structured", "vmap"])
def test_few_examples_in_a_pass(method: Method) -> None:
    """Large images and few parameters."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Conv2d(2, 1, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).double()
    x = torch.randn(6, 1, 12, 12, dtype=torch.float64)
    expected = naive.ntk(model, x, zoo.trainable(model))
    chunks = set()
    for found in climb(lambda memory: ntk(model, x, method=method, memory=memory), enough=4):
        chunks.add(found.plan.chunk)
        assert deviation(found, expected) < 1e-10, found.plan
    assert min(chunks) < 6


@pytest.mark.parametrize("method", ["structured", "vmap", "loop"])
def test_two_batches_in_tiles(method: Method) -> None:
    name = "layer used twice"
    model, x = twice(name)
    sides = set()
    for output in OUTPUTS if method == "structured" else ("sum",):
        rows = len(truth(name, output)) // len(x)
        expected = truth(name, output)[: 6 * rows, 2 * rows :]

        def block(memory: int, output: Output = output) -> Kernel:
            return ntk(model, x[:6], x[2:], output=output, method=method, memory=memory)

        for found in climb(block, enough=1):
            sides.add(found.plan.side)
            assert deviation(found, expected) < 1e-10, found.plan
    assert min(sides) < 6 or method != "structured"


def test_contributions_in_tiles() -> None:
    model, x = twice("functional convolution")
    whole = ntk_contributions(model, x, by="parameter", output="full", method="loop")

    def last(memory: int) -> Kernel:
        found = ntk_contributions(
            model, x, by="parameter", output="full", method="structured", memory=memory
        )
        for name, share in found.items():
            assert deviation(share, whole[name]) < 1e-10, share.plan
        return share

    assert min(share.plan.side for share in climb(last, enough=4)) < len(x)


@pytest.mark.parametrize("method", METHODS)
def test_ceilings_too_low_for_the_kernel(method: Method) -> None:
    model, x = zoo.make("linear")
    with pytest.raises(ValueError, match="the kernel alone takes 400 bytes: expected a ceiling"):
        ntk(model, x, memory=400, method=method)
    with pytest.raises(ValueError, match="the kernel alone"):
        ntk(model, x, output="full", memory=1000, method=method)


@pytest.mark.parametrize("method", ["structured", "vmap"])
def test_ceilings_too_low_for_one_example(method: Method) -> None:
    model, x = zoo.make("convolutions")
    with pytest.raises(ValueError, match=r"one example needs about .* raise memory="):
        ntk(model, x, memory=3000, method=method)


@pytest.mark.parametrize("method", ["batched", "loop"])
def test_ceilings_too_low_for_the_graph_of_a_batch(method: Method) -> None:
    model, x = zoo.make("convolutions")
    with pytest.raises(ValueError, match=r"whole batch at once: .* raise memory="):
        ntk(model, x, memory=3000, method=method)


@pytest.mark.parametrize("policy", ["running", "batch"])
@pytest.mark.parametrize("method", ["batched", "loop", "products"])
def test_coupled_examples_are_never_passed_apart(method: Method, policy: Policy) -> None:
    """Under a ceiling that is too low for the whole batch: refused in words."""
    if policy == "batch":
        model, x = zoo.make("BatchNorm1d")
        expected = naive.ntk(model.train(), x, zoo.trainable(model))
    else:
        layer = nn.Linear(4, 4)
        model = zoo.Net(lambda m, x: (m.layer(x) - m.layer(x).mean(0)) ** 2, layer=layer).double()
        x = torch.randn(5, 4, dtype=torch.float64)
        expected = naive.ntk(model, x, zoo.trainable(model))

    def coupled(memory: int) -> Kernel:
        return ntk(model, x, batchnorm=policy, method=method, memory=memory)

    for found in climb(coupled, enough=3):
        assert deviation(found, expected) < 1e-10, found.plan


def test_the_fastest_method_is_chosen_with_reasons() -> None:
    choice = choose({"loop": 2.0, "structured": 0.5}, {"vmap": "examples are coupled"})
    assert choice.method == "structured"
    assert choice.predicted == {"loop": 2.0, "structured": 0.5}
    assert choice.reason == (
        "structured: predicted 0.5 s on one core, loop 2 s; vmap does not apply: examples are "
        "coupled"
    )


def wide() -> tuple[nn.Module, Tensor]:
    """Few parameters and many examples: the kernel is what takes memory."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
    return net, torch.randn(700, 8)


@pytest.mark.parametrize(
    ("method", "output", "n"),
    [
        ("structured", "sum", 700),
        ("structured", "trace", 600),
        ("structured", "full", 200),
        ("vmap", "sum", 400),
    ],
)
def test_a_large_kernel_is_held_once(method: Method, output: Output, n: int) -> None:
    """As bytes that are alive, of which the kernel is most."""
    net, x = wide()
    kernel = 8 * (n * (3 if output == "full" else 1)) ** 2
    ntk(net, x[:8], output=output, method=method)  # the network is yet to be surveyed
    with Held() as held:
        theta = ntk(net, x[:n], output=output, method=method, memory=2 * kernel + 2**19)
    assert kernel < held.peak <= theta.plan.memory
    assert torch.equal(theta, theta.T)


def test_a_large_block_and_large_shares_are_held_once() -> None:
    net, x = wide()
    shares = ntk_contributions(net, x[:8])
    with Held() as held:
        block = ntk(net, x[:500], x[200:], memory=(ceiling := 2 * 8 * 500**2))
    assert held.peak <= ceiling
    with Held() as held:
        shares = ntk_contributions(net, x, memory=(ceiling := 4 * 8 * 700**2))
    assert held.peak <= ceiling
    assert deviation(naive.total(shares.values())[:500, 200:], block) < 1e-5


@pytest.mark.parametrize("output", ["trace", "full"])
def test_patches_of_several_columns_stay_below_the_ceiling(output: Output) -> None:
    """Small rows of large images: patches are not copied for each column."""
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 2, 3, padding=1)
    net = nn.Sequential(layer, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = torch.randn(32, 3, 96, 96)
    ntk(net, x[:2], output=output, method="structured")
    with Held() as held:
        ntk(net, x, output=output, method="structured", memory=(ceiling := 2**25))
    assert held.peak <= ceiling


def test_a_spectrum_and_a_regression_copy_nothing() -> None:
    net, x = wide()
    theta = ntk(net, x[:300])
    one = theta.untyped_storage().nbytes()
    with Held() as held:
        spectrum(theta)
    assert held.peak < 1.2 * one  # LAPACK works in place, in a copy
    with Held() as held:
        fit = regression(theta, torch.arange(300) % 3, ridges=(1e-2, 1.0))
        assert fit.predict(theta[:20]).isfinite().all()
    assert held.peak < 1.2 * one  # the eigenvectors
    with Held() as held:
        assert fit.leave_one_out.squared_error.isfinite().all()
    assert held.peak < 1.2 * one  # their squares


MEASURED = """
import copy
import torch
from torch import nn
from untrained import ntk
torch.manual_seed(0)
network = nn.Sequential(
    nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
    nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
    nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
)
x = torch.randn({n}, 3, 32, 32)
ntk(copy.deepcopy(network), x[:8], method={method!r})  # the network itself is yet to be surveyed
"""
TIED = """
import copy
import torch
from torch import nn
from untrained import ntk
class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20_000, 64)
    def forward(self, words):
        h = torch.tanh(self.embed(words))
        return nn.functional.linear(h.mean(1), self.embed.weight)
network = Tied()
x = torch.randint(20_000, ({n}, 16))
ntk(copy.deepcopy(network), x[:8], method={method!r})
"""
WIDE = """
import copy
import torch
from torch import nn
from untrained import ntk
network = nn.Sequential(nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 10))
x = torch.randn({n}, 16)
ntk(copy.deepcopy(network), x[:300], method={method!r})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("network", "method", "n"),
    [
        (MEASURED, "structured", 128),
        (MEASURED, "structured", 256),
        (MEASURED, "vmap", 64),
        (MEASURED, "products", 12),
        (TIED, "structured", 32),
        (WIDE, "structured", 2000),
    ],
)
def test_measured_memory_stays_below_the_ceiling(
    network: str, method: Method, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resident memory above that of the network and its inputs, in a process of its own."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    from memory import peak_bytes

    ceiling = 64 * 2**20
    setup = network.format(n=n, method=method)
    work = f"ntk(network, x, method={method!r}, memory={ceiling})"
    assert peak_bytes(work, setup) <= 1.1 * ceiling
