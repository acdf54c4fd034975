"""How networks train that `untrained inspect` finds something in, and those that it finds fine.

    python experiments/trainability.py depth [--save results/trainability/depth.csv]
    python experiments/trainability.py spoiled [--save results/trainability/spoiled.csv]

`depth`: MLPs of 3 to 32 layers of 64 units, weights N(0, gain^2 / fan_in), biases 0, on digits:
where sensitivity and loss at initialisation end to predict a training. `spoiled`: the networks of
`tests/trainable.py`, each beside what it was before it was spoiled. Ten epochs of batches of 64,
by AdamW (1e-3) and by SGD (0.05, momentum 0.9); best validation accuracy.
"""

import csv
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cyclopts
import torch
import torch.nn.functional as F
from torch import nn

from untrained import inspect, load_images
from untrained.images import Images

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from trainable import HEALTHY, SPOILED, mlp

app = cyclopts.App()
Optimiser = Callable[[nn.Module], torch.optim.Optimizer]
OPTIMISERS: dict[str, Optimiser] = {
    "adamw": lambda network: torch.optim.AdamW(network.parameters(), lr=1e-3),
    "sgd": lambda network: torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9),
}
Row = dict[str, str | int | float]


@app.command
def depth(save: Path = Path("results/trainability/depth.csv"), seeds: int = 3) -> None:
    """MLPs by depth, gain and activation."""
    write(save, _depth(load_images("digits"), seeds))


@app.command
def spoiled(save: Path = Path("results/trainability/spoiled.csv"), seeds: int = 3) -> None:
    """Healthy networks, and spoiled ones."""
    write(save, _named(load_images("digits"), seeds))


def _depth(images: Images, seeds: int) -> Iterator[Row]:
    activations: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}
    for name, act in activations.items():
        for layers in (3, 6, 10, 16, 24, 32):
            for gain in (0.3, 0.577, 0.8, 1.0, 1.41, 2.0, 3.0):
                for seed in range(seeds):
                    make = partial(_mlp, act, layers, gain)
                    about: Row = {"activation": name, "layers": layers, "gain": gain}
                    yield about | measured(make, images, seed)


def _mlp(act: Callable[[], nn.Module], layers: int, gain: float | int) -> nn.Module:
    """With weights N(0, gain^2 / fan_in), biases 0."""
    network = mlp(layers, act)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, gain / module.in_features**0.5)
            nn.init.zeros_(module.bias)
    return network


def _named(images: Images, seeds: int) -> Iterator[Row]:
    made = {f"healthy: {name}": make for name, make in HEALTHY.items()}
    made |= {f"spoiled: {name}": make for name, (make, _, _) in SPOILED.items()}
    for name, make in made.items():
        for seed in range(seeds):
            about: Row = {"network": name}
            yield about | measured(make, images, seed)


def measured(make: Callable[[], nn.Module], images: Images, seed: int) -> Row:
    """What an inspection says, and what trainings reach."""
    torch.manual_seed(seed)
    found = inspect(make(), images, seed=seed)
    evidence = found.evidence
    sensitivity = evidence.sensitivity(evidence.trunk[0]) if evidence.trunk else None
    row: Row = {
        "seed": seed,
        "sensitivity": "" if sensitivity is None else sensitivity,
        "loss": "" if found.loss.value is None else found.loss.value,
        "hinders": len(found.problems),
        "findings": "; ".join(finding.title for finding in found.findings),
    }
    for name, optimiser in OPTIMISERS.items():
        torch.manual_seed(seed)
        row[name] = trained(make(), optimiser, images, seed)
    return row


def trained(network: nn.Module, optimiser: Optimiser, images: Images, seed: int) -> float:
    """The best validation accuracy of ten epochs."""
    x, y = images.normalise(images.train.pixels), images.train.labels
    held_out, labels = images.normalise(images.validation.pixels), images.validation.labels
    steps, order, best = optimiser(network), torch.Generator().manual_seed(seed), 0.0
    for _ in range(10):
        network.train()
        for rows in torch.randperm(len(x), generator=order).split(64):
            steps.zero_grad()
            F.cross_entropy(network(x[rows]), y[rows]).backward()
            steps.step()
        network.eval()
        with torch.no_grad():
            right = network(held_out).argmax(1) == labels
        best = max(best, float(right.double().mean()))
    return best


def write(path: Path, rows: Iterator[Row]) -> None:
    """As a CSV file, a row when it is known."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, list(row))
                writer.writeheader()
            writer.writerow(row)
            file.flush()


if __name__ == "__main__":
    app()
