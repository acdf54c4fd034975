"""CIFAR-10 distilled to a few images: accuracies beside those of random real ones.

    python experiments/distilled.py measure         # results/theory/distilled.csv
    python experiments/distilled.py draw            # docs/distilled.png (the extra `docs`)

Kernel inducing points with the NTK of an infinitely wide perceptron of two hidden layers, and with
random features of a small convolutional network; ten images a class and one, 16,004 training
images, accuracy on all 5,000 test images of the bundle. What is made is kept in FOLDER.
"""

import time
from pathlib import Path

import cyclopts
import polars as pl
import torch
from torch import nn

from untrained import distill, infinite, load_images
from untrained.distillation import RandomFeatures
from untrained.distillation.distilled import Distilled, OfImages
from untrained.images import Images

app = cyclopts.App()
ROOT = Path(__file__).parents[1]
SAVED = ROOT / "results" / "theory" / "distilled.csv"
SHOWN = Path("distilled.pt")


def kernels(seed: int) -> dict[str, OfImages]:
    """Both."""
    dense = nn.Linear(1, 1)
    wide = infinite(
        nn.Sequential(
            nn.Flatten(), nn.Linear(3072, 1), nn.ReLU(), dense, nn.ReLU(), nn.Linear(1, 1)
        ),
        sigma_b=0.1,
    )
    layers: list[nn.Module] = []
    for channels in (3, 64, 64):
        layers += [nn.Conv2d(channels, 64, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)]
    features = RandomFeatures(nn.Sequential(*layers), torch.Generator().manual_seed(seed))
    return {"infinite": lambda a, b: wide(a, b).ntk, "random features": features}


@app.command
def measure(seeds: int = 3, steps: int = 500) -> None:
    """Measures; prints a line each."""
    images = load_images("cifar10")
    rows = []
    for seed in range(seeds):
        for name, kernel in kernels(seed).items():
            for per_class in (1, 10):
                for learnt in (0, steps if name == "infinite" else steps // 4):
                    began = time.process_time()
                    made = one(images, kernel, per_class, learnt, seed, name)
                    accuracy = made.accuracy(images.test, images)
                    seconds = time.process_time() - began
                    asked = {"kernel": name, "per_class": per_class, "steps": learnt, "seed": seed}
                    rows.append({**asked, "accuracy": accuracy, "seconds": seconds})
                    print(rows[-1], flush=True)
                    SAVED.parent.mkdir(exist_ok=True)
                    pl.DataFrame(rows).write_csv(SAVED)
                    if name == "infinite" and per_class == 1 and learnt and not seed:
                        torch.save(made.pixels(images), SHOWN)


def one(
    images: Images, kernel: OfImages, per_class: int, steps: int, seed: int, name: str
) -> Distilled:
    """Distilled, or drawn where no steps are learnt."""
    return distill(
        images,
        kernel,
        generator=torch.Generator().manual_seed(seed),
        per_class=per_class,
        steps=steps,
        batch=500 if name == "infinite" else 200,
        rate=0.02,
    )


@app.command
def draw() -> None:
    """Draws the ten images of the first seed, one a class."""
    from matplotlib.figure import Figure

    images = load_images("cifar10")
    pixels = torch.load(SHOWN)
    figure = Figure((7.5, 1.2), layout="constrained")
    for axes, picture, name in zip(figure.subplots(1, 10), pixels, images.classes, strict=True):
        axes.imshow(picture.permute(1, 2, 0))
        axes.set_title(name, fontsize=7)
        axes.axis("off")
    figure.savefig(ROOT / "docs" / "distilled.png", dpi=110)


if __name__ == "__main__":
    app()
