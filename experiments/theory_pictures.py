"""Pictures of docs/ensembles.md and docs/functions.md (the extra `docs`).

    python experiments/theory_pictures.py ensemble    # docs/ensemble.png
    python experiments/theory_pictures.py residual    # docs/residual.png

ensemble    networks of two hidden layers of 512 erf units, trained on six points by plain gradient
            descent, beside mean and deviation of infinitely wide ones; and the posterior of the
            NNGP, of which only the last layer would be trained
residual    eigenvalues of the NTK of a network u(x, t), and of its residual u_t - u_xx, on 100
            points: how fast each part of a function, and of an equation, is learnt
"""

from pathlib import Path
from typing import Any

import cyclopts
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from untrained import draw_weights, gradient_flow, infinite, ntk
from untrained.networks import ntk_parametrisation

app = cyclopts.App()
DOCS = Path(__file__).parents[1] / "docs"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#8a8a8a"
SPREAD: dict[str, Any] = {"sigma_w": 1.5, "sigma_b": 1.0}
TIME, STEPS, NETWORKS = 200.0, 10_000, 10


class Erf(nn.Module):
    """An activation."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.erf(x)


def network(width: int) -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(1, width), Erf(), nn.Linear(width, width), Erf(), nn.Linear(width, 1)
    ).double()


@app.command
def ensemble() -> None:
    """Ten wide networks, and the theory of infinitely wide ones."""
    x = torch.tensor([-2.6, -1.8, -0.6, 0.5, 1.4, 2.4], dtype=torch.float64)[:, None]
    y, grid = torch.sin(1.5 * x), torch.linspace(-4, 4, 161, dtype=torch.float64)[:, None]
    limit = infinite(network(8), **SPREAD)(torch.cat([x, grid]))
    n = len(x)
    figure = Figure((8, 3), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, kernel, colour, title in (
        (left, limit.ntk, BLUE, "all layers trained (NTK)"),
        (right, limit.nngp, ORANGE, "only the last layer trained (NNGP)"),
    ):
        flow = gradient_flow(kernel[:n, :n], y)
        mean = flow.predict(kernel[n:, :n], TIME)[:, 0]
        deviation = (
            flow.covariance(kernel[n:, :n], limit.nngp, TIME).diagonal().clamp(min=0).sqrt()
        )
        line = grid[:, 0]
        axes.plot(line, mean, color=colour, lw=1.5)
        axes.fill_between(
            line, mean - 2 * deviation, mean + 2 * deviation, color=colour, alpha=0.15, lw=0
        )
        axes.plot(x[:, 0], y[:, 0], "o", color="black", ms=4)
        axes.set_title(title, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    for seed in range(NETWORKS):
        left.plot(grid[:, 0], trained(x, y, grid, seed), color=GREY, lw=0.6)
    figure.savefig(DOCS / "ensemble.png", dpi=120)


def trained(x: Tensor, y: Tensor, grid: Tensor, seed: int) -> Tensor:
    """A wide network after plain gradient descent."""
    wide = ntk_parametrisation(network(512), **SPREAD)
    draw_weights(wide, "ntk", torch.Generator().manual_seed(seed))
    descent = torch.optim.SGD(wide.parameters(), TIME / STEPS)
    for _ in range(STEPS):
        descent.zero_grad()
        ((wide(x) - y).square().sum() / 2).backward()
        descent.step()
    return wide(grid).detach()[:, 0]


@app.command
def residual() -> None:
    """Spectra of a function and of its equation."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(100, 2, generator=generator, dtype=torch.float64)
    params = {
        "w": 3 * torch.randn(2, 256, generator=generator, dtype=torch.float64),
        "b": torch.randn(256, generator=generator, dtype=torch.float64),
        "v": torch.randn(256, 1, generator=generator, dtype=torch.float64) / 16,
    }

    def u(params: Any, point: Tensor) -> Tensor:
        return (torch.tanh(point @ params["w"] + params["b"]) @ params["v"])[0]

    def equation(params: Any, points: Tensor) -> Tensor:
        slope = torch.func.vmap(torch.func.jacrev(u, 1), (None, 0))(params, points)
        curved = torch.func.vmap(torch.func.hessian(u, 1), (None, 0))(params, points)
        return (slope[:, 1] - curved[:, 0, 0])[:, None]

    def function(params: Any, points: Tensor) -> Tensor:
        return torch.func.vmap(u, (None, 0))(params, points)[:, None]

    figure = Figure((5, 3), layout="constrained")
    axes = figure.subplots()
    for f, colour, label in ((function, BLUE, "u"), (equation, ORANGE, "u_t - u_xx")):
        theta = ntk(f, points, params=params, precision="float64").as_subclass(Tensor)
        values = torch.linalg.eigvalsh(theta).flip(0)
        resolved = values[values > 100 * torch.finfo(torch.float64).eps * values[0]]
        print(label, f"{resolved[0]:.3g}", f"{(resolved[0] / resolved[19]).item():.3g}")
        axes.semilogy(
            range(1, len(resolved) + 1), resolved / resolved[0], color=colour, label=label
        )
    axes.set(xlabel="eigenvalue", ylabel="relative to the largest")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(DOCS / "residual.png", dpi=120)


if __name__ == "__main__":
    app()
