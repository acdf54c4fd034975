"""Time, memory and coverage of `taps`, beside those of the structured method.

    python experiments/taps_table.py [--rows MLP --rows ViT] [--rounds 7] \
        [--save results/taps/times.csv]

All ways take turns in one process; the least seconds of the processor count.
"""

import csv
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cyclopts
import torch
from taps import CHECKS, Check, asked_of, kernel
from torch import Tensor, nn

from untrained import ntk
from untrained.kernels import recent
from untrained.networks.batchnorm import evaluating
from untrained.networks.places import Unstructured

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from memory import peak_bytes  # noqa: E402
from networks import Row, networks  # noqa: E402
from zoo import ZOO, Net, make  # noqa: E402


def exact() -> dict[str, list[str]]:
    """The zoo's networks whose kernels are those of autograd's loop, and the others."""
    found: dict[str, list[str]] = {"exact": [], "wrong": [], "refused": []}
    for name in ZOO:
        for output in ("sum", "full"):
            model, x = make(name)
            truth = ntk(model, x, output=output, batchnorm="frozen", method="loop")
            with evaluating(model):
                try:
                    theta = kernel(asked_of(model, x, output, "float64"), "few", True)
                except (RuntimeError, ValueError) as error:
                    print(name, output, error)
                    found["refused"].append(f"{name}, {output}")
                    continue
            right = torch.allclose(theta, truth, 1e-9, 1e-9 * float(truth.abs().max()))
            found["exact" if right else "wrong"].append(f"{name}, {output}")
    return found


def coupled(m: Net, x: Tensor) -> Tensor:
    """Examples that influence each other's gradients, and no outputs."""
    c = m.first(x).mean(0)
    return m.last(torch.tanh(m.first(x) + c - c.detach()))


def hooked(m: Net, x: Tensor) -> Tensor:
    """A hook that doubles a gradient."""
    h = m.first(x)
    if h.requires_grad:
        h.register_hook(lambda d: 2 * d)
    return m.last(torch.tanh(h))


def by_size(m: Net, x: Tensor) -> Tensor:
    """Gradients twice as large where there are more than a few examples."""
    h = m.first(x)
    return m.last(torch.tanh(2 * h - h.detach() if len(x) > 3 else h))


def errors() -> None:
    """Prints how wrong kernels are, relative to autograd's loop, of networks that deceive."""
    for step in (coupled, hooked, by_size):
        torch.manual_seed(0)
        model = Net(step, first=nn.Linear(4, 5), last=nn.Linear(5, 2)).double().eval()
        x = torch.randn(6, 4).double()
        truth = ntk(model, x, method="loop")
        for check in CHECKS:
            try:
                theta = kernel(asked_of(model, x, "sum", "float64"), check, True)
            except Unstructured as refusal:
                print(step.__name__, check, refusal)
            else:
                error = float((theta - truth).abs().max() / truth.abs().max())
                print(step.__name__, check, f"off by {error:.0%}")


def timed(row: Row, rounds: int) -> dict[str, float]:
    """Seconds of each way, the least of several rounds in turn."""
    torch.manual_seed(0)
    model, x = row.build(), torch.randn(row.batch, *row.shape)
    today = partial(ntk, model, x, output=row.output, batchnorm="frozen", method="structured")
    kept = today()

    def first() -> Tensor:
        recent._surveys.clear()
        return today()

    def taps(check: Check, public: bool = False) -> Tensor:
        with evaluating(model):
            return kernel(asked_of(model, x, row.output, kept.plan.precision), check, public)

    ways: dict[str, Callable[[], Tensor]] = {"structured": today, "structured, first call": first}
    ways["taps, public"] = partial(taps, "none", True)
    ways |= {f"taps, {check}": partial(taps, check) for check in CHECKS}
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for way, work in ways.items():
            begun = time.process_time()
            theta = work()
            seconds[way] = min(seconds[way], time.process_time() - begun)
            assert torch.allclose(theta, kept, 1e-4, 1e-5 * float(kept.abs().max())), way
    return seconds


SETUP = """
import sys, torch
sys.path.insert(0, {here!r})
from taps_table import asked_of, evaluating, kernel, networks, ntk
torch.manual_seed(0)
row = networks()[{name!r}]
model, inputs = row.build(), torch.randn(row.batch, *row.shape)
def structured(x):
    return ntk(model, x, output=row.output, batchnorm="frozen", method="structured")
def taps(x):
    with evaluating(model):
        return kernel(asked_of(model, x, row.output, {precision!r}), "few", False)
structured(inputs[:4]), taps(inputs[:4])
"""


def peaks(name: str, precision: str = "float32") -> dict[str, int]:
    """Bytes of each, in a process of its own."""
    setup = SETUP.format(here=str(Path(__file__).parent), name=name, precision=precision)
    return {way: peak_bytes(f"{way}(inputs)", setup) for way in ("structured", "taps")}


def main(
    *, rows: tuple[str, ...] = (), rounds: int = 7, zoo: bool = True, save: Path | None = None
) -> None:
    """Prints seconds and bytes of each row, as shares of those of `structured`."""
    torch.set_num_threads(1)
    if zoo:
        errors()
        for kind, names in exact().items():
            print(f"{kind}: {len(names)} of the zoo's {2 * len(ZOO)}")
    lines = []
    for name, row in networks().items():
        if rows and not any(part in name for part in rows):
            continue
        seconds, bytes_ = timed(row, rounds), peaks(name)
        own = seconds["structured"]
        shares = {way: f"{s / own:.3f}" for way, s in seconds.items() if way != "structured"}
        memory = f"{bytes_['taps'] / bytes_['structured']:.2f}"
        lines.append({"network": name, "seconds": f"{own:.3f}", **shares, "memory": memory})
        print(lines[-1], flush=True)
        if save is not None:
            with save.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(lines[0]))
                writer.writeheader()
                writer.writerows(lines)


if __name__ == "__main__":
    cyclopts.run(main)
