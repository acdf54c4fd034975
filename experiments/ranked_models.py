"""Ten models of a small file, ranked before training, beside their real short trainings.

    python experiments/ranked_models.py pictures pictures
    cd FOLDER with my_nets.py of docs/rank.md, then
    untrained rank --images pictures --size 64 --models my_nets:NETS --out untrained-runs
    python .../experiments/ranked_models.py train pictures my_nets:NETS trained.csv --seeds 0 1
    python .../experiments/ranked_models.py compare untrained-runs/.../ranking.csv trained.csv

Trainings that the file has are not made again.
"""

import time
from pathlib import Path

import cyclopts
import numpy as np
import polars as pl
import torch
from PIL import Image
from scipy.stats import kendalltau
from torch import Tensor, nn

from untrained.data import data_folder
from untrained.images import Images, load_images
from untrained.spaces import MODELS
from untrained.spaces.loading import expanded
from untrained.tables import p_value, small_sample_interval

app = cyclopts.App()

CLASSES = {
    "pets": (24, 25, 26, 27, 28, 29, 30, 31),
    "grazers": (47, 48, 49, 50, 51, 52, 53, 57),
    "insects": (36, 37, 38, 39, 40, 41, 42, 43),
    "sea": (0, 13, 14, 17, 18, 19, 46, 196),
    "cars": (70, 94, 107, 116, 121, 133, 145, 153),
    "dishes": (178, 179, 180, 181, 182, 190, 191, 192),
    "fruit": (183, 184, 185, 186, 187, 188, 189, 199),
    "landscapes": (91, 96, 154, 170, 194, 195, 197, 198),
    "clothes": (60, 62, 74, 85, 105, 112, 120, 134),
    "buildings": (66, 71, 124, 129, 162, 165, 173, 101),
}
"Ten kinds of things, of eight classes of Tiny-ImageNet each."


@app.command
def pictures(folder: Path) -> None:
    """Writes tinyimagenet32.npz as a folder of 4,000 pictures of 64 pixels, in ten classes."""
    kept = np.load(data_folder() / "images" / "tinyimagenet32.npz")
    images = np.concatenate([kept["x_train"], kept["x_test"]])
    labels = np.concatenate([kept["y_train"], kept["y_test"]])
    for name, classes in CLASSES.items():
        (folder / name).mkdir(parents=True)
        for i in np.flatnonzero(np.isin(labels, classes)):
            picture = Image.fromarray(images[i]).resize((64, 64), Image.Resampling.BICUBIC)
            picture.save(folder / name / f"{i}.png")


@app.command
def train(
    folder: Path,
    models: str,
    out: Path,
    *,
    seeds: tuple[int, ...] = (0,),
    epochs: int = 12,
) -> None:
    """Trains each of the models, and adds its accuracy on the test images to a CSV file."""
    torch.set_num_threads(1)
    images = load_images(folder, size=64)
    rows = pl.read_csv(out).to_dicts() if out.exists() else []
    known = {(row["model"], row["seed"]) for row in rows}
    for seed in seeds:
        for path in expanded(models):
            if (path, seed) in known:
                continue
            torch.manual_seed(seed)
            network = MODELS.build(
                MODELS.parse(path), MODELS.scales["full"], inputs=images.shape, classes=10
            )
            began = time.process_time()
            accuracy = trained(network, images, epochs)
            seconds = time.process_time() - began
            rows.append({"model": path, "seed": seed, "accuracy": accuracy, "seconds": seconds})
            pl.DataFrame(rows).write_csv(out)
            print(path, seed, f"{accuracy:.1%}", f"{seconds:.0f} s")


def trained(network: nn.Module, images: Images, epochs: int, batch: int = 64) -> float:
    """AdamW with one cycle, random flips: the plain loop; and the accuracy on the test images."""
    x, y = batch_of(images, images.train.pixels), images.train.labels
    steps = epochs * (len(x) // batch)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=3e-3, total_steps=steps)
    network.train()
    for _ in range(epochs):
        for some in torch.randperm(len(x))[: len(x) // batch * batch].split(batch):
            flipped = torch.rand(batch) < 0.5
            seen = torch.where(flipped[:, None, None, None], x[some].flip(-1), x[some])
            loss = nn.functional.cross_entropy(network(seen), y[some])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        parts = batch_of(images, images.test.pixels).split(batch)
        found = torch.cat([network(part) for part in parts]).argmax(1)
    return (found == images.test.labels).double().mean().item()


def batch_of(images: Images, pixels: Tensor) -> Tensor:
    """Pixels as networks are shown them."""
    return images.normalise(pixels)


@app.command
def compare(ranking: Path, trainings: Path) -> None:
    """Shows the ranking beside the trainings, and how well scores and sizes rank them."""
    trained = (
        pl.read_csv(trainings)
        .group_by("model")
        .agg(pl.col("accuracy").mean(), pl.col("seconds").mean(), pl.len().alias("trainings"))
    )
    joined = pl.read_csv(ranking).join(trained, on="model").sort("accuracy", descending=True)
    for row in joined.iter_rows(named=True):
        print(row["model"], row["place"], f"{row['accuracy']:.1%}", f"{row['seconds']:.0f} s")
    y = joined["accuracy"].to_numpy()
    for name in ("nngp_leave_one_out", "parameters", "macs", "latency"):
        x = joined[name].to_numpy()
        tau, (low, high) = kendalltau(x, y).statistic, small_sample_interval(x, y)
        print(f"{name}: tau {tau:.2f} ({low:.2f} to {high:.2f}), p {p_value(x, y):.3f}")


if __name__ == "__main__":
    app()
