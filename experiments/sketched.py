"""CIFAR-10 by an infinitely wide convolutional network: its kernel, and features in its place.

    python experiments/sketched.py measure     # results/theory/sketched.csv

Images of 8 x 8 pixels, means of four by four; two convolutions of three by three with ReLU, the
mean over positions, a dense layer. Ridge regression of centred labels with the NTK, the ridge
chosen by leave-one-out error on the training images; accuracy on test images.

    exact       the NTK itself, of 500 training images, and 500 test images
    features    `Infinite.features` of the same images, and of up to 16,004 and 5,000
    error       |t t^T - Theta| / |Theta| of the 500 training images
"""

import time
from pathlib import Path

import cyclopts
import polars as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from untrained import infinite, load_images
from untrained.analysis.blocks import split
from untrained.analysis.validation import validate

app = cyclopts.App()
SAVED = Path(__file__).parents[1] / "results" / "theory" / "sketched.csv"
FEW, BATCH = 500, 50
KERNEL = infinite(
    nn.Sequential(
        nn.Conv2d(3, 1, 3, padding=1), nn.ReLU(), nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 1),
    ), sigma_b=0.1,
)  # fmt: skip


@app.command
def measure(
    counts: tuple[int, ...] = (256, 1024, 4096), whole: int = 1024, seeds: int = 3
) -> None:
    """Measures; prints a line each."""
    torch.set_num_threads(1)
    images = load_images("cifar10")
    (train, y), (test, z) = (
        (F.avg_pool2d(images.normalise(part.pixels), 4), part.labels)
        for part in (images.train, images.test)
    )
    rows: list[dict[str, object]] = []

    def note(**found: object) -> None:
        rows.append(found)
        print(found, flush=True)
        SAVED.parent.mkdir(exist_ok=True)
        pl.DataFrame(rows, infer_schema_length=None).write_csv(SAVED)

    began = time.process_time()
    exact = KERNEL(torch.cat([train[:FEW], test[:FEW]])).ntk
    seconds = time.process_time() - began
    accuracy = by_kernel(exact, y[:FEW], z[:FEW])
    note(what="exact", n=FEW, tests=FEW, accuracy=accuracy, seconds=seconds)
    for seed in range(seeds):
        for count in counts:
            began = time.process_time()
            t = features(torch.cat([train[:FEW], test[:FEW]]), count, seed)
            seconds = time.process_time() - began
            kernel, theta = t[:FEW] @ t[:FEW].T, exact[:FEW, :FEW]
            error = ((kernel - theta).norm() / theta.norm()).item()
            accuracy = by_kernel(t @ t.T, y[:FEW], z[:FEW])
            note(what="features", n=FEW, tests=FEW, count=count, seed=seed, accuracy=accuracy,
                 seconds=seconds, error=error)  # fmt: skip
    began = time.process_time()
    t, others = features(train, whole, 0), features(test, whole, 0)
    for n in (500, 2000, 8000, len(train)):
        accuracy = by_features(t[:n], others, y[:n], z)
        note(what="features", n=n, tests=len(test), count=whole, seed=0, accuracy=accuracy,
             seconds=time.process_time() - began)  # fmt: skip


def features(x: Tensor, count: int, seed: int) -> Tensor:
    """Of the NTK, in double precision for what follows."""
    with torch.no_grad():
        parts = [KERNEL.features(part, count, seed).ntk for part in x.split(BATCH)]
    return torch.cat(parts).double()


def by_kernel(kernel: Tensor, y: Tensor, z: Tensor) -> float | None:
    """Accuracy of regression, from the first examples to the rest."""
    return validate(split(kernel, len(y)), y, z, classes=10).accuracy


def by_features(t: Tensor, others: Tensor, y: Tensor, z: Tensor) -> float:
    """The same by normal equations, the ridge by leave-one-out error."""
    values, vectors = torch.linalg.eigh(t.T @ t)
    projected, best = t @ vectors, (torch.inf, others)
    moments = projected.T @ targets(y)
    for ridge in torch.logspace(-8, 0, 17, dtype=torch.float64) * values.mean():
        weights = moments / (values + ridge)[:, None]
        leverage = (projected.square() / (values + ridge)).sum(1)
        left_out = (targets(y) - projected @ weights) / (1 - leverage)[:, None]
        error = left_out.square().mean().item()
        if error < best[0]:
            best = error, (others @ vectors) @ weights
    return (best[1].argmax(1) == z).double().mean().item()


def targets(y: Tensor) -> Tensor:
    """Centred labels."""
    return F.one_hot(y, 10).double() - 0.1


if __name__ == "__main__":
    app()
