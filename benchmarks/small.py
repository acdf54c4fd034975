"""What an NTK of a small network takes, beside torch.func's recipe, where calls are most of it.

    python benchmarks/small.py [--rounds 300] [--rows MLP] [--outputs sum]

The recipe is `vmap(grad)`, or `vmap(jacrev)` for `trace` and `full`, and a product of matrices for
each parameter: what one writes by hand, without what makes it safe. A first call surveys its
network; later ones find the survey. All take turns in one process; the least seconds of the
processor count, as multiples of the recipe's.
"""

import time
import warnings
from collections.abc import Callable
from functools import partial

import cyclopts
import torch
from networks import Row, mlp
from ntk import gram, torch_vmap
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformer_networks import VisionTransformer

from untrained import ntk
from untrained.kernels import recent
from untrained.networks.readout import Output


class Recurrent(nn.Module):
    """Reads a sequence by an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, from the last state."""
        return self.head(self.cell(x)[0][:, -1])


def convolutional() -> nn.Module:
    """Two convolutions, and a classifier of their means."""
    first = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
    second = nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(16, 3))


transformer = partial(VisionTransformer, size=8, channels=16, blocks=2, heads=2)
NETWORKS = {
    "MLP 10-32-1": Row(partial(mlp, (10, 32, 1)), (10,), 20),
    "MLP 10-32-3": Row(partial(mlp, (10, 32, 3)), (10,), 20),
    "CNN": Row(convolutional, (3, 8, 8), 20),
    "LSTM": Row(Recurrent, (6, 4), 20),
    "ViT": Row(transformer, (3, 8, 8), 20),
}
OUTPUTS: tuple[Output, ...] = ("sum", "trace", "full")


def jacobians(network: nn.Module, x: Tensor, output: Output) -> Tensor:
    """The kernel of all outputs, by rows of J of each."""
    network.eval()
    theta = {name: p.detach() for name, p in network.named_parameters()}

    def f(theta: dict[str, Tensor], x_i: Tensor) -> Tensor:
        return functional_call(network, theta, (x_i[None],))[0]

    rows = vmap(jacrev(f), in_dims=(None, 0))(theta, x).values()
    if output == "full":
        return gram(j.flatten(0, 1) for j in rows)
    return gram(rows)


def measure(row: Row, output: Output, rounds: int) -> dict[str, float]:
    """Seconds of each way, the least of several rounds in turn."""
    torch.manual_seed(0)
    network, x = row.build(), row.inputs()

    def recipe() -> Tensor:
        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no rule for vmap
            return torch_vmap(network, x) if output == "sum" else jacobians(network, x, output)

    def later() -> Tensor:
        return ntk(network, x, output=output)

    def first() -> Tensor:
        recent._surveys.clear()
        return later()

    ways: dict[str, Callable[[], Tensor]] = {"recipe": recipe, "first": first, "later": later}
    seconds = dict.fromkeys(ways, float("inf"))
    truth = recipe().double()
    for _ in range(rounds):
        for way, work in ways.items():
            begun = time.process_time()
            theta = work()
            seconds[way] = min(seconds[way], time.process_time() - begun)
            assert torch.allclose(theta.double(), truth, 1e-3, 1e-4 * float(truth.max())), way
    return seconds


def main(
    *,
    rounds: int = 300,
    rows: tuple[str, ...] = (),
    outputs: tuple[Output, ...] = OUTPUTS,
) -> None:
    """Prints the table.

    Args:
        rounds: Of which the least is taken.
        rows: Networks whose names contain one of these; all by default.
        outputs: Of which to make kernels.
    """
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "There is a performance drop")  # vmap, of an LSTM
    table = Table("network", "output", "recipe, ms", "first call", "later calls")
    for name, row in NETWORKS.items():
        for output in outputs:
            if rows and not any(each in name for each in rows):
                continue
            found = measure(row, output, rounds)
            recipe, *others = found.values()
            ratios = (f"{each / recipe:.2f}" for each in others)
            table.add_row(name, str(output), f"{1e3 * recipe:.3f}", *ratios)
    Console().print(table)


if __name__ == "__main__":
    cyclopts.run(main)
