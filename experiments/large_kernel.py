"""Kernel regression on 50,000 images with a kernel larger than memory.

    python experiments/large_kernel.py kernel FOLDER     # theta.npy, test.npy; resumes
    python experiments/large_kernel.py regress FOLDER    # results/theory/large_kernel.csv
    python experiments/large_kernel.py products FOLDER   # 1,000 images, no kernel
    python experiments/large_kernel.py rounding FOLDER   # what float32 costs
    python experiments/large_kernel.py projections       # results/theory/projections.csv

The NTK, summed over outputs, of a convolutional network of three layers and a hidden one, at its
initialisation, on CIFAR-10: the bundle's 20,000 images, their mirror images, and the first 10,000
moved by two pixels; 5,000 test images. The ridge is the best one by
leave-one-out on the first 5,000, in float64.
`--examples 10000` makes the same of fewer. 50,000 take 10.6 GiB in FOLDER.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import cyclopts
import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import eigsh
from torch import Tensor, nn

from untrained import draw_weights, load_images, ntk, ntk_on_disk, ntk_operator, regression
from untrained.analysis import (
    StoredKernel,
    nystrom_preconditioner,
    projection_error,
)
from untrained.analysis.regression import centred_one_hot
from untrained.images import Images
from untrained.kernels import conjugate_gradients
from untrained.networks.readout import random_readout
from untrained.spaces import get_space

app = cyclopts.App()
ROOT = Path(__file__).parents[1]
SAVED = ROOT / "results" / "theory"
CHOSEN_ON = 5_000
"Images that the ridge is chosen on."
SIZES = (1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 50_000)


def network(outputs: int = 10, seed: int = 0) -> nn.Module:
    """Untrained."""
    net = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, outputs)),
    )
    draw_weights(net, "kaiming_fan_in", torch.Generator().manual_seed(seed))
    return net


def training_images(images: Images, count: int) -> tuple[Tensor, Tensor]:
    """Pixels and labels: images, their mirror images, and images moved down and right."""
    pixels = torch.cat([images.train.pixels, images.validation.pixels])
    labels = torch.cat([images.train.labels, images.validation.labels])
    moved = nn.functional.pad(pixels.float(), (2, 0, 2, 0), "replicate")[..., :-2, :-2].byte()
    shown = torch.cat([pixels, pixels.flip(3), moved])[:count]
    return shown, labels.repeat(3)[:count]


def mapped(file: Path, images: Images, pixels: Tensor) -> NDArray[Any]:
    """Normalised images in a file, of which what is used is read."""
    if not file.exists():
        np.save(file.with_suffix(".new.npy"), images.normalise(pixels).numpy())
        file.with_suffix(".new.npy").rename(file)
    return np.load(file, mmap_mode="r")


@app.command
def kernel(
    folder: Path, examples: int = 50_000, workers: int = 0, memory: int = 2 * 2**30
) -> None:
    """Computes both kernels, or what of them is still missing."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("untrained.kernels").setLevel(logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    images, net = load_images("cifar10"), network()
    x = mapped(folder / "x.npy", images, training_images(images, examples)[0])
    x_test = mapped(folder / "x_test.npy", images, images.test.pixels)
    began, used = time.perf_counter(), time.process_time()
    with watched_memory() as peak:
        ntk_on_disk(net, x, file=folder / "theta.npy", workers=workers, memory=memory)
        ntk_on_disk(net, x_test, x, file=folder / "test.npy", workers=workers, memory=memory)
    print(
        f"{time.perf_counter() - began:.0f} s, {time.process_time() - used:.0f} of them of this "
        f"process's processor; at most {max(peak) / 2**30:.2f} GiB that are no file's"
    )


@contextmanager
def watched_memory() -> Iterator[list[int]]:
    """Bytes that this process has, without pages of files: at first, and ten times a second."""
    found, ended = [anonymous()], Event()

    def watch() -> None:
        while not ended.wait(0.1):
            found.append(anonymous())

    thread = Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


@app.command
def regress(folder: Path, landmarks: int = 1_000) -> None:
    """Regression on the first images, on more and more of them; prints a line each."""
    images = load_images("cifar10")
    theta = StoredKernel(folder / "theta.npy", symmetric=True)
    test = StoredKernel(folder / "test.npy", symmetric=False)
    count = len(theta.array)
    labels = training_images(images, count)[1]
    some, net = min(CHOSEN_ON, count), network()
    x = torch.from_numpy(np.load(folder / "x.npy", mmap_mode="r")[:some].copy())
    dense = regression(ntk(net, x, precision="float64"), labels[:some])
    best, rows = dense.best("leave_one_out"), list[dict[str, Any]]()
    eps, exact = float(dense.ridges[best]), dense.predict(test[:, :some])[best]
    accuracy = float((exact.argmax(1) == images.test.labels).double().mean())
    print(f"ridge {eps:.2g} of the mean diagonal; with {some} images in float64: {accuracy}")
    for n in sorted({*(size for size in SIZES if size <= count), count}):
        used = time.process_time()
        part = StoredKernel(folder / "theta.npy", symmetric=True, leading=n)
        ridge = eps * float(part.diagonal().mean())
        chosen = sorted(np.random.default_rng(0).choice(n, min(landmarks, n // 2), False).tolist())
        helped = nystrom_preconditioner(part[:, chosen], chosen, ridge)
        targets = centred_one_hot(labels[:n], len(images.classes))
        found = conjugate_gradients(part, targets, ridge, TOLERANCE, preconditioner=helped)
        weights = np.zeros((count, targets.shape[1]))
        weights[:n] = found.alpha
        accuracy = float(((test @ weights).argmax(1) == images.test.labels.numpy()).mean())
        rows.append(
            {
                "images": n,
                "ridge": eps,
                "steps": found.steps,
                "residual": found.residual,
                "accuracy": accuracy,
                "seconds": time.process_time() - used,
            }
        )
        print(rows[-1], flush=True)
        SAVED.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(rows).write_csv(SAVED / "large_kernel.csv")


TOLERANCE = 1e-4
"Relative residual: accuracies change by less than one test image below it."


@app.command
def products(folder: Path, count: int = 1_000, landmarks: int = 200, eps: float = 0.01) -> None:
    """The same regression by products with J, and by the stored kernel; prints both."""
    images, net = load_images("cifar10"), network()
    x = torch.from_numpy(np.load(folder / "x.npy", mmap_mode="r")[:count].copy())
    x_test = torch.from_numpy(np.load(folder / "x_test.npy"))
    labels = training_images(images, count)[1]
    stored = StoredKernel(folder / "theta.npy", symmetric=True, leading=count)
    ridge = eps * float(stored.diagonal().mean())
    targets = centred_one_hot(labels, len(images.classes))
    operator = ntk_operator(net, x, chunk=500)
    columns = ntk(net, x, x[:landmarks])
    helped = nystrom_preconditioner(columns, range(landmarks), ridge)
    for name, theta in (("products", operator), ("stored", stored)):
        found = conjugate_gradients(theta, targets, ridge, TOLERANCE, preconditioner=helped)
        predicted = ntk_operator(net, x_test, x, chunk=500) @ found.alpha.numpy()
        accuracy = float((predicted.argmax(1) == images.test.labels.numpy()).mean())
        print(f"{name}: {found.steps} steps, accuracy {accuracy:.4f}", flush=True)


@app.command
def rounding(folder: Path) -> None:
    """How far the file is from the kernel in float64, in the spectral norm; prints a line each."""
    stored = StoredKernel(folder / "theta.npy", symmetric=True)
    x = torch.from_numpy(np.load(folder / "x.npy", mmap_mode="r")[:4_000].copy())
    exact = ntk(network(), x, precision="float64").numpy()
    error = stored.array[: len(x), : len(x)] - exact
    for n in (1_000, 2_000, 4_000):
        norm, top = (
            abs(eigsh(k[:n, :n], 1, which="LM", return_eigenvectors=False)[0])
            for k in (error, exact)
        )
        print(f"{n} images: {norm / top:.1e} of the largest eigenvalue; at worst {n * 2**-24:.1e}")


@app.command
def projections(count: int = 500, few: int = 3, seeds: int = 3, draws: int = 8) -> None:
    """A thousand outputs of a cell of NAS-Bench-201, projected; prints a line each."""
    images, space, rows = load_images("tinyimagenet32"), get_space("nasbench201"), []
    x = images.normalise(images.test.some(count, torch.Generator().manual_seed(0)).pixels)
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        net = space.build(
            space.parse(CELL), space.scales["small"], inputs=images.shape, classes=1000
        )
        draw_weights(net, "kaiming_fan_in", generator)
        if not seed:
            with watched_memory() as peak:
                ntk(net, x, output=random_readout(1000, 16, generator), memory=LIMIT)
            rows_of_j = 4 * 1000 * count * sum(p.numel() for p in net.parameters())
            print(
                f"{count} examples, 16 columns, a limit of {LIMIT / 2**20:.0f} MiB: "
                f"{(max(peak) - peak[0]) / 2**20:.0f} MiB; all of J: {rows_of_j / 2**20:,.0f} MiB"
            )
        full = ntk(net, x[:few], output="full")
        trace = ntk(net, x[:few], output="trace")
        for columns in (1, 4, 16, 64):
            readouts = [random_readout(1000, columns, generator) for _ in range(draws)]
            found = [ntk(net, x[:few], output=readout) - trace for readout in readouts]
            squares = torch.stack([change.norm() / trace.norm() for change in found]).square()
            error = float(squares.mean().sqrt())
            rows.append(
                {
                    "seed": seed,
                    "columns": columns,
                    "most": (2 / columns) ** 0.5,
                    "derived": projection_error(full, 1000, columns),
                    "found": error,
                    "standard_error": float(squares.std()) / draws**0.5 / 2 / error,
                }
            )
            print(rows[-1], flush=True)
    pl.DataFrame(rows).write_csv(SAVED / "projections.csv")


LIMIT = 2**28
"Bytes."
CELL = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)
"The best of NAS-Bench-201 on CIFAR-10."


def anonymous() -> int:
    """Bytes that this process has now, without pages of files (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("RssAnon:")[2].split()[0])


if __name__ == "__main__":
    app()
