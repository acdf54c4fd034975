"""Wide networks against the theory of infinitely wide ones, width by width.

    python experiments/wide_networks.py measure    # results/theory/wide_networks.csv
    python experiments/wide_networks.py draw       # docs/wide_networks.png (the extra `docs`)

A perceptron with two hidden layers of ReLU, in the parametrisation of the NTK, on 20 random points
of 5 numbers, whose targets are random too, and 20 others.

    kernel      |Theta - Theta_infinity| / |Theta_infinity| on the 20 points
    descent     |f_t - f_t in closed form| / |f_t - f_0| on the other points, after plain gradient
                descent of the network itself, the closed form by its own NTK before training
"""

from pathlib import Path
from typing import Any

import cyclopts
import polars as pl
import torch
from torch import Tensor, nn

from untrained import draw_weights, gradient_descent, infinite, ntk
from untrained.networks import ntk_parametrisation

app = cyclopts.App()
ROOT = Path(__file__).parents[1]
SAVED = ROOT / "results" / "theory" / "wide_networks.csv"
WIDTHS = (16, 32, 64, 128, 256, 512, 1024, 2048)
SPREAD: dict[str, Any] = {"sigma_w": 2**0.5, "sigma_b": 0.1}
N, STEPS = 20, 300


@app.command
def measure(seeds: int = 5) -> None:
    """Measures every width for so many seeds of weights; points and targets stay."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1000)
    points = torch.randn(2 * N, 5, generator=generator, dtype=torch.float64)
    y = torch.randn(N, 1, generator=generator, dtype=torch.float64)
    limit = infinite(network(8), **SPREAD)(points[:N])
    rows = []
    for width in WIDTHS:
        for seed in range(seeds):
            wide = ntk_parametrisation(network(width), **SPREAD)
            draw_weights(wide, "ntk", torch.Generator().manual_seed(seed))
            theta = ntk(wide, points, precision="float64").as_subclass(Tensor)
            found = {
                "kernel": apart(theta[:N, :N], limit.ntk),
                "descent": trained_apart(wide, points, y, theta),
            }
            rows += [
                {"width": width, "seed": seed, "what": k, "error": v} for k, v in found.items()
            ]
            print(width, seed, {key: f"{value:.2g}" for key, value in found.items()})
    SAVED.parent.mkdir(exist_ok=True)
    pl.DataFrame(rows).write_csv(SAVED)


def network(width: int) -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(5, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
    ).double()


def trained_apart(wide: nn.Module, points: Tensor, y: Tensor, theta: Tensor) -> float:
    """How far gradient descent ends from its closed form, in units of how far it went."""
    start = wide(points).detach()
    rate = 1 / torch.linalg.eigvalsh(theta[:N, :N])[-1].item()
    closed = gradient_descent(theta[:N, :N], y, rate=rate, start=start[:N])
    expected = closed.predict(theta[N:, :N], STEPS, start[N:])
    descent = torch.optim.SGD(wide.parameters(), rate)
    for _ in range(STEPS):
        descent.zero_grad()
        ((wide(points[:N]) - y).square().sum() / 2).backward()
        descent.step()
    found = wide(points[N:]).detach()
    return ((found - expected).norm() / (expected - start[N:]).norm()).item()


def apart(found: Tensor, expected: Tensor) -> float:
    """Relative distance, by the Frobenius norm."""
    return ((found - expected).norm() / expected.norm()).item()


@app.command
def draw() -> None:
    """Draws the means over seeds, with the least and the largest."""
    from matplotlib.figure import Figure

    rows = pl.read_csv(SAVED)
    figure = Figure((5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    labels = {"kernel": "NTK at initialisation, from its limit",
              "descent": "outputs after training, from the closed form"}  # fmt: skip
    for what, colour in (("kernel", "#0072b2"), ("descent", "#d55e00")):
        error = pl.col("error")
        each = rows.filter(what=what).group_by("width", maintain_order=True).agg(
            error.mean().alias("mean"), error.min().alias("low"), error.max().alias("high")
        )  # fmt: skip
        axes.plot(each["width"], each["mean"], "o-", color=colour, label=labels[what], ms=4)
        axes.fill_between(each["width"], each["low"], each["high"], color=colour, alpha=0.15)
    widths = rows["width"].unique().sort()
    axes.plot(widths, 4 / widths.sqrt(), "--", color="#8a8a8a", lw=1, label="1 / √width")
    axes.set(xscale="log", yscale="log", xlabel="width", ylabel="relative distance")
    axes.set_xticks(WIDTHS, [str(width) for width in WIDTHS])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(ROOT / "docs" / "wide_networks.png", dpi=130)


if __name__ == "__main__":
    app()
