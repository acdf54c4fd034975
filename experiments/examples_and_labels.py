"""What single examples say: pairs of images, and labels that are bought.

    python experiments/examples_and_labels.py pairs      # related_pairs.csv and related_kinds.csv
    python experiments/examples_and_labels.py labels     # bought_labels.csv, in results/theory too
    python experiments/examples_and_labels.py batches    # bought_batches.csv
    python experiments/examples_and_labels.py summary    # means over seeds of bought_labels.csv
    python experiments/examples_and_labels.py draw       # docs/examples_and_labels.png

Pairs: a small convolutional network, trained on 4,000 images of CIFAR-10 for 32 epochs, and the
labelled pseudo-NTK of 300 of these, by the signs of their errors and by the errors themselves; by
the latter, the pairs of the largest and of the least similarity, each image once.

Labels: of 1,000 digits, 20 with labels; 20 further ones are bought nine times, and a small
convolutional network is trained anew each time, from the same initial weights. Test accuracy, of
labels chosen at random, by the training dynamics greedily, by single gains as published, and where
the network is least confident, for which no kernel is needed. Batches: how alike the gradients are
within what is bought.
"""

from pathlib import Path

import cyclopts
import polars as pl
import torch
from torch import Tensor, nn
from torch.func import functional_call

from untrained import draw_weights, load_images, ntk
from untrained.analysis import greatest_dynamics, relationships, softmax_residuals
from untrained.analysis.alignment import normalised
from untrained.images import Images

app = cyclopts.App()
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "theory"
PAIRS, KINDS = RESULTS / "related_pairs.csv", RESULTS / "related_kinds.csv"
LABELS, BATCHES = RESULTS / "bought_labels.csv", RESULTS / "bought_batches.csv"
STRATEGIES = {
    "random": "at random",
    "dynamics": "greatest training dynamics",
    "gains": "largest single gains of it",
    "confidence": "least confident",
}
POOL, BOUGHT, ROUNDS = 1000, 20, 9


def network(channels: int, width: int, seed: int) -> nn.Module:
    """Three convolutions, then the mean over positions, then a readout."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((channels, width), (width, 2 * width), (2 * width, 2 * width)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)]
    made = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10))
    draw_weights(made, "kaiming_fan_in", torch.Generator().manual_seed(seed))
    return made


def trained(net: nn.Module, x: Tensor, y: Tensor, steps: int, batch: int, seed: int) -> None:
    """By Adam at a rate of 3e-3, on batches drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(steps):
        chosen = torch.randperm(len(x), generator=generator)[:batch]
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[chosen]), y[chosen]).backward()
        optimizer.step()


def shown(images: Images, count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers, normalised pixels and labels of so many training images."""
    rows = torch.randperm(len(images.train), generator=torch.Generator().manual_seed(seed))[:count]
    return rows, images.normalise(images.train.at(rows)), images.train.labels[rows]


@app.command
def pairs(seeds: int = 3, count: int = 300, kept: int = 4) -> None:
    """Finds the pairs, and how many there are of each kind."""
    torch.set_num_threads(1)
    images = load_images("cifar10")
    upper = torch.ones(count, count, dtype=torch.bool).triu(1)
    made, kinds = [], []
    for seed in range(seeds):
        rows, x, y = shown(images, 4000, seed)
        net = network(3, 16, seed)
        trained(net, x, y, 2000, 64, seed)
        with torch.no_grad():
            f = net(x)
        right = (f.argmax(1) == y).double().mean().item()
        theta = ntk(net, x[:count], output="full")
        errors = relationships(theta, -softmax_residuals(f[:count], y[:count]))
        same = y[:count, None] == y[:count]
        for name, found in (("signs", relationships(theta, y[:count])), ("errors", errors)):
            row = {"seed": seed, "accuracy": right, "weights": name}
            for kind, sign in (("interchangeable", 1), ("unrelated", 0), ("contradictory", -1)):
                row[kind] = (found.kinds[upper] == sign).double().mean().item()
            for pair, which in (("one class", same), ("two classes", ~same)):
                row[f"similarity of {pair}"] = found.similarity[upper & which].mean().item()
            kinds.append(row)
            print(row)
        for name, sign in (("interchangeable", 1), ("contradictory", -1)):
            for i, j in strongest(sign * errors.similarity, kept):
                numbers = {"first": int(rows[i]), "second": int(rows[j])}
                classes = {
                    f"{k}_class": images.classes[y[n]] for k, n in (("first", i), ("second", j))
                }
                similarity = errors.similarity[i, j].item()
                made.append({"seed": seed, "relationship": name, **numbers, **classes,
                             "similarity": similarity})  # fmt: skip
    pl.DataFrame(made).write_csv(PAIRS)
    pl.DataFrame(kinds).write_csv(KINDS)


def strongest(similarity: Tensor, kept: int) -> list[tuple[int, int]]:
    """The pairs of the largest entries, each example in one of them at most."""
    left = similarity.clone().fill_diagonal_(-torch.inf)
    found = []
    for _ in range(kept):
        i, j = divmod(int(left.argmax()), len(left))
        found.append((i, j))
        for taken in (i, j):
            left[taken] = left[:, taken] = -torch.inf
    return found


@app.command
def labels(seeds: int = 5) -> None:
    """Buys labels; one row for each round."""
    torch.set_num_threads(1)
    images = load_images("digits")
    test = images.normalise(images.test.pixels)
    made = []
    for seed in range(seeds):
        _, x, y = shown(images, POOL, seed)
        for strategy in STRATEGIES:
            generator = torch.Generator().manual_seed(seed)
            known = torch.arange(BOUGHT)
            for _ in range(ROUNDS + 1):
                net = network(1, 16, seed)
                trained(net, x[known], y[known], 300, 64, seed)
                with torch.no_grad():
                    right = (net(test).argmax(1) == images.test.labels).double().mean().item()
                row = {"strategy": strategy, "seed": seed, "labels": len(known)}
                made.append({**row, "accuracy": right})
                if len(known) < BOUGHT * (ROUNDS + 1):
                    more = chosen(strategy, net, x, y, known, generator)
                    known = torch.cat([known, more])
            print(seed, strategy, f"{made[-1]['accuracy']:.4f}", flush=True)
            pl.DataFrame(made).write_csv(LABELS)


@app.command
def batches(seeds: int = 5) -> None:
    """How alike the gradients are of what is bought after 100 labels at random."""
    torch.set_num_threads(1)
    images, made = load_images("digits"), []
    apart = ~torch.eye(BOUGHT, dtype=torch.bool)
    for seed in range(seeds):
        _, x, y = shown(images, POOL, seed)
        known, net = torch.arange(100), network(1, 16, seed)
        trained(net, x[known], y[known], 300, 64, seed)
        pulls = gradients(net, x, believed_residuals(net, x, y, known))
        for strategy in STRATEGIES:
            generator = torch.Generator().manual_seed(seed)
            batch = chosen(strategy, net, x, y, known, generator)
            similarity = normalised(pulls)[batch[:, None], batch][apart].mean().item()
            row = {"strategy": strategy, "seed": seed, "classes": len(y[batch].unique())}
            made.append({**row, "similarity": similarity})
            print(made[-1])
    pl.DataFrame(made).write_csv(BATCHES)


def chosen(
    strategy: str, net: nn.Module, x: Tensor, y: Tensor, known: Tensor, generator: torch.Generator
) -> Tensor:
    """The next examples whose labels are bought."""
    if strategy == "random":
        order = torch.randperm(len(x), generator=generator)
        return order[~torch.isin(order, known)][:BOUGHT]
    if strategy == "confidence":
        with torch.no_grad():
            confidence = net(x).softmax(1).max(1).values
        confidence[known] = torch.inf
        return (-confidence).topk(BOUGHT).indices
    pulls = gradients(net, x, believed_residuals(net, x, y, known))
    found = greatest_dynamics(pulls, known, BOUGHT)
    return found.examples if strategy == "dynamics" else found.gains.topk(BOUGHT).indices


def believed_residuals(net: nn.Module, x: Tensor, y: Tensor, known: Tensor) -> Tensor:
    """p - y, with the labels that are known and pseudo-labels for the others."""
    with torch.no_grad():
        f = net(x)
    believed = f.argmax(1)
    believed[known] = y[known]
    return softmax_residuals(f, believed)


def gradients(net: nn.Module, x: Tensor, residuals: Tensor) -> Tensor:
    """r_i^T Theta_ij r_j, as the kernel of the one output r . f; so without all those of f."""

    def weighted(params: dict[str, Tensor], x: Tensor, r: Tensor) -> Tensor:
        f: Tensor = functional_call(net, params, (x,))
        return (f * r).sum(1, keepdim=True)

    return ntk(weighted, (x, residuals.float()), params=dict(net.named_parameters()))


@app.command
def summary() -> None:
    """Prints means over seeds, with standard errors, and differences from random by seed."""
    rows = pl.read_csv(LABELS)
    wide = rows.pivot("strategy", index=["seed", "labels"], values="accuracy")
    for strategy in STRATEGIES:
        gain = (pl.col(strategy) - pl.col("random")).alias("gain")
        each = wide.with_columns(gain).group_by("labels", maintain_order=True).agg(
            pl.col(strategy).mean().alias("mean"),
            (pl.col(strategy).std() / pl.len().sqrt()).alias("error"),
            pl.col("gain").mean(),
            (pl.col("gain").std() / pl.len().sqrt()).alias("gain error"),
        )  # fmt: skip
        print(strategy, each)


@app.command
def draw() -> None:
    """Draws both."""
    from matplotlib.figure import Figure

    figure = Figure((9, 2.7), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.15, 1])
    images = load_images("cifar10")
    found = pl.read_csv(PAIRS).filter(seed=0)
    names = found["relationship"].unique(maintain_order=True).to_list()
    for part, name in zip(left.subfigures(2, 1), names, strict=True):
        each = found.filter(relationship=name)
        least, most = sorted(each["similarity"].abs())[:: len(each) - 1]
        sign = "-" if name == "contradictory" else ""
        span = f"similarity {sign}{most:.2f} to {sign}{least:.2f}"
        part.suptitle(f"most {name}: {span}", fontsize=8)
        for pair, row in zip(
            part.subfigures(1, len(each)), each.iter_rows(named=True), strict=True
        ):
            for axes, which in zip(pair.subplots(1, 2), ("first", "second"), strict=True):
                pixels = images.train.at(torch.tensor([row[which]]))[0]
                axes.imshow(pixels.permute(1, 2, 0))
                axes.set_title(row[f"{which}_class"], fontsize=6, pad=2)
                axes.axis("off")
    rows, axes = pl.read_csv(LABELS), right.subplots()
    colours = ("#8a8a8a", "#0072b2", "#d55e00", "#009e73")
    for (strategy, label), colour in zip(STRATEGIES.items(), colours, strict=True):
        accuracy = pl.col("accuracy")
        spread = (
            rows.filter(strategy=strategy)
            .group_by("labels", maintain_order=True)
            .agg(mean=accuracy.mean(), low=accuracy.min(), high=accuracy.max())
        )
        axes.plot(spread["labels"], spread["mean"], "o-", color=colour, label=label, ms=3)
        axes.fill_between(
            spread["labels"], spread["low"], spread["high"], color=colour, alpha=0.12
        )
    axes.set(xlabel="labels", ylabel="test accuracy, digits")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(ROOT / "docs" / "examples_and_labels.png", dpi=130)


if __name__ == "__main__":
    app()
