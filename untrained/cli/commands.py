"""The commands and their flags. What they do is in `actions`, which imports torch."""

import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated

from cyclopts import Parameter

from untrained.benching.config import BenchConfig
from untrained.cli.terminal import WORKING, say, shows_bars
from untrained.conformance.config import CheckConfig
from untrained.inspection.config import InspectConfig
from untrained.locations import Location
from untrained.ranking.config import RankConfig
from untrained.runs.config import MachineConfig, RunConfig, ScoreConfig, TrainConfig
from untrained.runs.sweep_config import SweepConfig
from untrained.tracking.config import TrackConfig
from untrained.training.recipe import TrainingSpec

SearchFlags = Annotated[RunConfig, Parameter(name="*")]
ScoreFlags = Annotated[ScoreConfig, Parameter(name="*")]
TrainFlags = Annotated[TrainConfig, Parameter(name="*")]
TrackFlags = Annotated[TrackConfig, Parameter(name="*")]
BenchFlags = Annotated[BenchConfig, Parameter(name="*")]
RankFlags = Annotated[RankConfig, Parameter(name="*")]
InspectFlags = Annotated[InspectConfig, Parameter(name="*")]
SweepFlags = Annotated[SweepConfig, Parameter(name="*")]
CheckFlags = Annotated[CheckConfig, Parameter(name="*")]
Switch = Annotated[bool, Parameter(negative="")]


def search(
    *, config: SearchFlags = RunConfig(), json: Switch = False, dry_run: Switch = False
) -> None:
    """Search a space for a good network on your images; with --train, train and export it.

    Args:
        json: Print one JSON object instead of tables.
        dry_run: Print the whole configuration as TOML or JSON, and do nothing else.
    """
    actions().search(config, json, dry_run)


def demo(
    *,
    out: Path = Path("untrained-runs"),
    workers: int = RunConfig().workers,
    json: Switch = False,
) -> None:
    """Search, train, compare, export and report, on the bundled digits.

    Args:
        out: Folder of the store and of the run.
        workers: Worker processes.
        json: Print one JSON object instead of tables.
    """
    epochs = TrainingSpec(epochs=20)
    asked = RunConfig(train=True, channels=16, cells=1, training=epochs, out=out, workers=workers)
    actions().search(asked, json)


def score(
    *architectures: str,
    config: ScoreFlags = ScoreConfig(),
    json: Switch = False,
    dry_run: Switch = False,
) -> None:
    """Score architectures that you name.

    Args:
        architectures: Text forms, each in quotes, such as
            '|nor_conv_3x3~0|+|none~0|none~1|+|...|'.
        json: Print one JSON object instead of tables.
        dry_run: Print the whole configuration as TOML or JSON, for `untrained search`, and do
            nothing.
    """
    actions().score(architectures, config, json, dry_run)


def train(
    architecture: str,
    *,
    config: TrainFlags = TrainConfig(),
    json: Switch = False,
    dry_run: Switch = False,
) -> None:
    """Train and export one architecture that you name, beside random ones.

    Args:
        architecture: Text form, in quotes.
        json: Print one JSON object instead of tables.
        dry_run: Print the whole configuration as TOML or JSON, for `untrained search`, and do
            nothing.
    """
    actions().train(architecture, config, json, dry_run)


def track(
    architecture: str | None = None,
    *,
    config: TrackFlags = TrackConfig(),
    json: Switch = False,
    dry_run: Switch = False,
) -> None:
    """Follow the tangent kernel of one network through training, on images fixed once.

    Name an architecture of a space, or a network of your own with --network.

    Args:
        architecture: Text form, in quotes.
        json: Print one JSON object instead of a table.
        dry_run: Print the whole configuration as TOML or JSON, and do nothing.
    """
    actions().track(architecture, config, json, dry_run)


def rank(
    *, config: RankFlags = RankConfig(), json: Switch = False, dry_run: Switch = False
) -> None:
    """Rank models that you have, by training-free scores on your images: which of these?

    Each is built for the images' size and classes, and shown with its parameters, multiply-adds,
    memory in training and latency. Models that cannot be told apart have the same letter; those
    that fail come last, with the reason. With --train, each is trained briefly too, which says how
    well the order agrees with accuracies.

    Args:
        json: Print one JSON object instead of a table.
        dry_run: Print the whole configuration as TOML or JSON and the models that it names, and
            do nothing.
    """
    actions().rank(config, json, dry_run)


def bench(
    folder: Path | None = None,
    *,
    config: BenchFlags = BenchConfig(),
    json: Switch = False,
    dry_run: Switch = False,
) -> None:
    """Rank scores by how well they rank the architectures of a benchmark's table.

    Name scores, ours or your own, to be measured on a sample; or the folder of a run whose scores
    are judged as they are. With --train, a few networks are trained on your images instead.

    Args:
        folder: Folder of a run, as `search` or `score` printed it; beside it, only --combine,
            --dataset, --table, --thresholds, --resamples, --store and --workers may be given.
        json: Print one JSON object instead of a table.
        dry_run: Print the whole configuration as TOML or JSON and what it would measure, and do
            nothing.
    """
    actions().bench(folder, config, json, dry_run)


def sweep(
    name: str,
    *,
    config: SweepFlags = SweepConfig(),
    json: Switch = False,
    dry_run: Switch = False,
) -> None:
    """Measure scores on a whole space, a list, or millions of random architectures.

    Give the same command again, in other processes or on other machines with the same --store, and
    they share the work; killed, each resumes. `untrained sweep status NAME` says how far all is.

    Args:
        name: What the sweep is called; its folder in `out` is called so too.
        json: Print one JSON object instead of lines.
        dry_run: Print the whole configuration as TOML or JSON, and do nothing.
    """
    actions().sweep(name, config, json, dry_run)


def sweep_status(
    name: str,
    *,
    out: Location = MachineConfig.out,
    store: str | None = None,
    json: Switch = False,
) -> None:
    """Say how far a sweep is: done, left, rate, time left, failures, and what is measured.

    Args:
        name: The sweep's.
        out: As of the sweep.
        store: As of the sweep.
        json: Print one JSON object instead of lines.
    """
    actions().sweep_status(name, out, store, json)


def sweep_export(
    name: str,
    file: Path,
    *,
    out: Location = MachineConfig.out,
    store: str | None = None,
    json: Switch = False,
) -> None:
    """Write what a sweep has measured so far as CSV: a line a draw, a column a score.

    Args:
        name: The sweep's.
        file: What to write; it must not be there.
        out: As of the sweep.
        store: As of the sweep.
        json: Print one JSON object instead of a line.
    """
    actions().sweep_export(name, file, out, store, json)


def sweep_merge(
    name: str,
    *stores: str,
    out: Location = MachineConfig.out,
    store: str | None = None,
    json: Switch = False,
) -> None:
    """Copy what other stores hold of a sweep into one: of shards that had none in common.

    Args:
        name: The sweep's.
        stores: Files or URLs.
        out: Where the store is that is copied into.
        store: The same, as of the sweep.
        json: Print one JSON object instead of lines.
    """
    actions().sweep_merge(name, stores, out, store, json)


def check(*names: str, config: CheckFlags = CheckConfig(), json: Switch = False) -> None:
    """Say what a score, a space or a searcher keeps of its contract, and how it behaves.

    It needs no images: small networks of several kinds are shown the bundled digits. The exit
    code is 1 where a part of a contract is broken.

    Args:
        names: Ours, such as naswot, nasbench201 or evolution, or package.module:name.
        json: Print one JSON list instead of tables.
    """
    actions().check(names, config, json)


def inspect(model: str, *, config: InspectFlags = InspectConfig(), json: Switch = False) -> None:
    """Say what hinders a network's training, before it is trained, and what to change.

    Signals and gradients by depth, dead and saturated units, weights of a wrong scale, and each
    layer's share of the NTK, from one batch of your images.

    Args:
        model: package.module:name of a function that, called with `inputs` (channels), `classes`
            and, if it takes it, `size`, returns a network with its initial weights; or the text
            form of an architecture of --space, in quotes.
        json: Print one JSON object instead of tables.
    """
    actions().inspect(model, config, json)


def report(
    folder: Location,
    *,
    page: Location | None = None,
    store: str | None = None,
    json: Switch = False,
) -> None:
    """Write the report of a run or a tracking again, finished or still running.

    Args:
        folder: Its folder, or its URL, as `search` or `track` printed it.
        page: The file to write; by default report.html in the folder. Nothing else is written.
        store: Where the run's numbers are, if it was given a store.
        json: Print one JSON object instead of a line.
    """
    actions().report(folder, page, store, json)


def serve(
    *,
    out: Location = Path("untrained-runs"),
    store: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8471,
    token: str = "",
    json: Switch = False,
) -> None:
    """Show every run of a store in a browser, as it proceeds.

    Nothing is written. Needs `pip install 'untrained[serve]'`.

    Args:
        out: Folder of the runs.
        store: Their store, if not in it: a file, or postgresql+psycopg://USER@HOST:PORT/DATABASE.
        host: Address to listen at. At any but this machine's own, visitors need a token.
        port: Port to listen at; 0 is any that is free.
        token: What visitors need; by default a random one, where one is needed.
        json: Print the address as a JSON object instead of a line.
    """
    actions().serve(out, store, host, port, token, json)


def data(*, json: Switch = False) -> None:
    """List the benchmark tables and image sets: what is here, and how to get the rest.

    Beneath are the folders of pictures that are kept decoded, so that later commands start at
    once.

    Args:
        json: Print one JSON list instead of a table.
    """
    actions().data(json)


def add_data(
    name: str, path: Path | None = None, *, replace: Switch = False, json: Switch = False
) -> None:
    """Bring an image set or a table into the data folder, so that its name is enough.

    Then `--images NAME` finds images. They are fetched from where their authors publish them, and
    compared with the published checksum; or read from files that you have.

    Args:
        name: `cifar10`, `cifar100`, `mnist`, `fashion-mnist`, `svhn`; a table, `nasbench101`; or,
            with a path, any name for your own images.
        path: A file or folder that you have: what the authors publish, a .npz, or pictures.
        replace: Replace an image set or a table that is there.
        json: Print one JSON object instead of a line.
    """
    actions().add_data(name, path, replace, json)


def import_table(
    format: str, path: Path, *, replace: Switch = False, json: Switch = False
) -> None:
    """Write a benchmark's own files as a table of the data folder.

    Args:
        format: `natsbench` (a folder NATS-...-simple, or the archive .pickle.pbz2),
            `nasbench101` (a .tfrecord), `nasbench301` (a folder of `results_*.json`),
            `suite-zero` (`zc_*.json`) or `hwnasbench` (a .pickle).
        path: The file or folder, as its authors publish it. A pickle is never run.
        replace: Replace a table that is there.
        json: Print one JSON object instead of a line.
    """
    actions().import_table(format, path, replace, json)


def clear_pictures(*, json: Switch = False) -> None:
    """Remove the pictures that are kept decoded; a command that needs some decodes them again.

    Args:
        json: Print one JSON object instead of a line.
    """
    actions().clear_pictures(json)


def actions() -> ModuleType:
    """The module of that name."""
    return load("untrained.cli.actions")


def load(module: str) -> ModuleType:
    """A module; a terminal is told that its import takes a second or two."""
    if shows_bars():
        say("loading torch", style="dim", to=WORKING)
    try:
        return import_module(module)
    except (ImportError, MemoryError, OSError) as error:
        if os.environ.get("UNTRAINED_TRACEBACK"):
            raise
        said = str(error) or "memory ran out"
        sys.exit(f"untrained: cannot load the libraries it needs: {said}")
