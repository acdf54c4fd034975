"""Recipes side by side: accuracy within the same processor seconds, on four small data sets.

    python benchmarks/recipes.py --save results/training/recipes.csv

The recipe `auto`, a plain loop with AdamW, and the defaults of timm's training script train the
same ResNet-8, half as wide as usual, from the same weights. A line is written as soon as a
training ends, and what the file has already is not trained again.
"""

import argparse
import csv
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean, variance

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from untrained.images import Images, Labelled, load_images
from untrained.networks.resnet import ResNet, ResNetSize
from untrained.training import Recipe, evaluate, train
from untrained.training.timing import auto_within, seconds_of_epoch

SIDES = {"digits": 8}
"Of images, in pixels; 16 of all others, so that a few seconds are some epochs."
COLUMNS = ("data", "train", "recipe", "seed", "accuracy", "epochs", "seconds")

# The defaults of timm's train.py: SGD with 0.1 for 256 images a batch, warm-up of 5 epochs, random
# parts of 8 % or more, jitter and flips of any image.
TIMM = Recipe(
    batch=128, learning_rate=0.05, weight_decay=2e-5, label_smoothing=0.1, crop=False, flip=True,
    resized_crop=True, jitter=0.4, clock="epoch", warm_up=5,
)  # fmt: skip


def part(name: str, classes: int | None = None, most: int | None = None) -> Images:
    """The first classes of a data set, and at most so many of their training images."""
    images = load_images(name, size=SIDES.get(name, 16))

    def kept(split: Labelled, count: int | None = None) -> Labelled:
        rows = torch.arange(len(split)) if classes is None else split.labels < classes
        some = Labelled(split.pixels[rows], split.labels[rows])
        return some.some(count or len(some), torch.Generator().manual_seed(0))

    return replace(
        images,
        classes=images.classes[:classes],
        train=kept(images.train, most),
        validation=kept(images.validation, most and most // 4),
        test=kept(images.test),
    )


DATA: dict[str, Callable[[], Images]] = {
    "cifar10, 2,000 images": lambda: part("cifar10", most=2000),
    "cifar100, 20 classes": lambda: part("cifar100", classes=20),
    "tinyimagenet32, 50 classes": lambda: part("tinyimagenet32", classes=50),
    "digits": lambda: part("digits"),
}


def by_auto(network: nn.Module, images: Images, seed: int, seconds: float) -> float:
    """Trains by our recipe; the number of epochs."""
    recipe = auto_within(seconds, network, images, clock=time.process_time)
    return len(train(network, images, recipe, seed=seed).epochs)


def by_timm(network: nn.Module, images: Images, seed: int, seconds: float) -> float:
    """Trains as timm does where nothing is said; the number of epochs."""
    once = seconds_of_epoch(network, images, TIMM, clock=time.process_time)
    recipe = replace(TIMM, epochs=max(1, round(seconds / once)))
    return len(train(network, images, recipe, seed=seed).epochs)


def by_loop(network: nn.Module, images: Images, seed: int, seconds: float) -> float:
    """Trains in twenty lines; the number of epochs. Of 0.001, 0.003 and 0.01, its learning rate
    was the best on 5,000 images of CIFAR-10."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    pixels, labels = images.normalise(images.train.pixels), images.train.labels
    network.train()
    begun, shown = time.process_time(), 0
    while True:
        for rows in torch.randperm(len(labels), generator=generator).split(64):
            passed = (time.process_time() - begun) / seconds
            if passed >= 1:
                return shown / len(labels)
            rate = min(passed / 0.1, (1 + math.cos(math.pi * passed)) / 2)
            optimizer.param_groups[0]["lr"] = 0.003 * rate
            inputs = pixels[rows]
            if images.shape[0] == 3 and torch.rand((), generator=generator) < 0.5:
                inputs = inputs.flip(-1)
            optimizer.zero_grad()
            cross_entropy(network(inputs), labels[rows]).backward()
            optimizer.step()
            shown += len(rows)


RECIPES = {"auto": by_auto, "AdamW loop": by_loop, "timm": by_timm}


def trained(data: str, images: Images, name: str, seed: int, seconds: float) -> dict[str, object]:
    """One line of the table."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        size = ResNetSize(blocks=1, width=8)
        network = ResNet(size, inputs=images.shape[0], classes=len(images.classes))
    begun = time.process_time()
    epochs = RECIPES[name](network, images, seed, seconds)
    spent = time.process_time() - begun
    accuracy = evaluate(network, images.test, images).accuracy
    row = (data, len(images.train), name, seed, accuracy, round(epochs, 1), round(spent, 1))
    return dict(zip(COLUMNS, row, strict=True))


def read(path: Path) -> list[dict[str, str]]:
    """The lines of an earlier call."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def measure(path: Path, seeds: int, seconds: float) -> None:
    """Trains what the file does not have yet, all recipes of a data set and seed in turns."""
    for name in RECIPES:  # what is loaded and compiled once counts for none of them
        trained("", DATA["digits"](), name, 0, 0.1)
    done = {(row["data"], row["recipe"], row["seed"]) for row in read(path)}
    path.parent.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        for data, load in DATA.items():
            images = load()
            for name in RECIPES:
                if (data, name, str(seed)) in done:
                    continue
                row = trained(data, images, name, seed, seconds)
                with path.open("a", newline="") as file:
                    writer = csv.DictWriter(file, COLUMNS)
                    if file.tell() == 0:
                        writer.writeheader()
                    writer.writerow(row)
                print(*row.values(), sep=", ", flush=True)


def table(rows: list[dict[str, str]]) -> str:
    """Mean accuracy with its standard error over seeds, a line a data set."""
    lines = [f"| data | {' | '.join(RECIPES)} |", "|---" * (1 + len(RECIPES)) + "|"]
    for data in DATA:
        cells = []
        for name in RECIPES:
            of_it = [r for r in rows if r["data"] == data and r["recipe"] == name]
            found = [100 * float(r["accuracy"]) for r in of_it]
            error = math.sqrt(variance(found) / len(found)) if len(found) > 1 else math.nan
            cells.append(f"{fmean(found):.1f} ± {error:.1f}" if found else "")
        lines.append(f"| {data} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Trains, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path, default=Path("results/training/recipes.csv"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of a processor, each training")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    measure(asked.save, asked.seeds, asked.seconds)
    print(table(read(asked.save)))


if __name__ == "__main__":
    main()
