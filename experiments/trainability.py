"""How MLPs train, by what `untrained inspect` measures of them at initialisation.

    python experiments/trainability.py [--save results/trainability/depth.csv]

MLPs of 3 to 16 hidden layers of 64 units with ReLU, weights N(0, gain^2 / fan_in), biases 0, on
digits. Ten epochs of batches of 64, by AdamW (1e-3) and by SGD (0.05, momentum 0.9); best
validation accuracy.
"""

import csv
import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import cyclopts
import torch
import torch.nn.functional as F
from torch import nn

from untrained import inspect, load_images
from untrained.images import Images

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from trainable import mlp

Optimiser = Callable[[nn.Module], torch.optim.Optimizer]
OPTIMISERS: dict[str, Optimiser] = {
    "adamw": lambda network: torch.optim.AdamW(network.parameters(), lr=1e-3),
    "sgd": lambda network: torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9),
}
Row = dict[str, str | int | float]


def main(save: Path = Path("results/trainability/depth.csv"), seeds: int = 3) -> None:
    """Writes a row for each network, when it is known."""
    images = load_images("digits")
    save.parent.mkdir(parents=True, exist_ok=True)
    with save.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for layers, gain, seed in product(LAYERS, GAINS, range(seeds)):
            make = partial(_mlp, layers, gain)
            writer.writerow({"layers": layers, "gain": gain} | measured(make, images, seed))
            file.flush()


LAYERS = 3, 6, 10, 16
GAINS = 0.3, 0.577, 0.8, 1.0, 1.41, 2.0, 3.0
COLUMNS = (
    *("layers", "gain", "seed", "sensitivity", "loss", "hinders", "findings"),
    *OPTIMISERS,
)


def _mlp(layers: int, gain: float | int) -> nn.Module:
    """With weights N(0, gain^2 / fan_in), biases 0."""
    network = mlp(layers)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, gain / module.in_features**0.5)
            nn.init.zeros_(module.bias)
    return network


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


if __name__ == "__main__":
    cyclopts.run(main)
