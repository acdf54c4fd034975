"""What the commands do: call the library, write the report, print."""

from pathlib import Path
from typing import Any

from untrained import (  # which load what they offer when it is used
    images,
    importers,
    pages,
    tables,
)
from untrained.benching.config import BenchConfig
from untrained.cli import BEGAN
from untrained.cli.held import show_held
from untrained.cli.progress import reading, watching
from untrained.cli.shown import show
from untrained.cli.swept import show_sweep, write_values
from untrained.cli.terminal import say
from untrained.cli.tracked import show_track, watching_snapshots
from untrained.conformance.config import CheckConfig
from untrained.inspection.config import InspectConfig
from untrained.locations import Location
from untrained.ranking.config import RankConfig
from untrained.runs import RunConfig, run, sweeps
from untrained.runs.budget import plan_in_words
from untrained.runs.config import ScoreConfig, TrainConfig
from untrained.runs.config_file import as_toml
from untrained.runs.driver import estimated
from untrained.runs.presets import fit, resolve
from untrained.runs.resolved import ResolvedConfig
from untrained.runs.sweep_config import SweepConfig
from untrained.runs.track_config import TrackConfig
from untrained.runs.track_one import holds_tracking, track_one
from untrained.settings import join_texts
from untrained.spaces import get_space
from untrained.storage import RunFolder
from untrained.training.recipe import AUTO
from untrained.urls import URL


def search(config: RunConfig, as_json: bool = False, dry_run: bool = False) -> None:
    """Runs under a progress bar, writes the report and shows what was found; or shows the plan."""
    if dry_run:
        plan = estimated(config)
        if plan is not None:
            print(f"# {plan_in_words(plan)}")
        print(as_toml(planned(config)), end="")
        return
    with watching() as watch:
        folder = run(config, watch, BEGAN)
    pages.report_run(folder, space=get_space(config.space))  # whose module the run has imported
    show(folder, as_json)


def planned(config: RunConfig) -> ResolvedConfig:
    """The configuration that would be run; images are loaded only where they decide on it."""
    resolved = resolve(config)
    if config.time_budget is not None or AUTO not in (
        resolved.training.recipe,
        resolved.calibration.recipe,
    ):
        return resolved
    return fit(resolved, images.load_images(config.images, size=config.size, seed=config.seed))


def scoring(architectures: tuple[str, ...], config: ScoreConfig) -> RunConfig:
    """The run that scores named architectures."""
    return RunConfig(**vars(config), **given(config.space, architectures))


def training(architecture: str, config: TrainConfig) -> RunConfig:
    """The run that trains a named architecture."""
    space = get_space(config.space)
    if space.parse(architecture).partial:
        raise ValueError(
            f"expected a discrete architecture to train, got {architecture}, which keeps several "
            f"operations on an edge or more edges than a network has; try untrained score"
        )
    size: dict[str, Any] = {"draws": 1, "train": True, "scores": ("parameters", "macs")}
    return RunConfig(**vars(config), **given(config.space, (architecture,)), **size)


def given(space: str, architectures: tuple[str, ...]) -> dict[str, Any]:
    """What asks for named architectures, in place of a search."""
    if not architectures:
        raise ValueError("expected the text form of one architecture or more, got none")
    found = get_space(space)  # some published forms hold spaces, which separate here
    texts = [str(found.parse(text)) for text in architectures]
    return {"searcher": "given", "options": {"architectures": join_texts(texts)}}


def track(architecture: str | None, config: TrackConfig, as_json: bool, dry_run: bool) -> None:
    """Tracks one network, and writes its page."""
    if dry_run:
        command = ("track", *([architecture] if architecture else []))
        print(as_toml(config.resolved(), *command), end="")
        return
    with watching_snapshots(config.recipe.epochs) as on_snapshot:
        folder, found = track_one(config, architecture, on_snapshot)
    pages.report_track(folder)
    show_track(found, folder, as_json)


def bench(folder: Path | None, config: BenchConfig, as_json: bool, dry_run: bool) -> None:
    """Ranks scores by a table: those of a run, or those that are measured for it."""
    from untrained.cli import boards  # with polars, which other commands do without

    if dry_run:
        boards.plan(folder, config)
        return
    with watching() as watch:
        if folder is None:
            board = boards.bench(config, watch)
        else:
            board = boards.bench_run(
                RunFolder(folder.parent, folder.name, config.store), config, watch
            )
    boards.show(board, as_json)


def sweep(name: str, config: SweepConfig, as_json: bool, dry_run: bool) -> None:
    """Measures many architectures under a progress bar, and says how far all is."""
    if dry_run:
        resolve(config.check().run_config())
        print(as_toml(config, "sweep", name), end="")
        return
    with watching() as watch:
        found = sweeps.sweep(name, config, watch)
    show_sweep(found, as_json)


def sweep_status(name: str, out: Location, store: str | None, as_json: bool) -> None:
    """Says how far a sweep is."""
    show_sweep(sweeps.sweep_state(RunFolder(out, name, store)), as_json)


def sweep_export(name: str, file: Path, out: Location, store: str | None) -> None:
    """Writes what a sweep has measured."""
    count = write_values(sweeps.sweep_values(RunFolder(out, name, store)), file)
    say(f"{count:,} lines: {file}")


def sweep_merge(name: str, stores: tuple[str, ...], out: Location, store: str | None) -> None:
    """Puts the stores of shards together."""
    if not stores:
        raise ValueError("expected one store or more to copy from, got none")
    show_sweep(sweeps.merge_sweeps(RunFolder(out, name, store), stores), as_json=False)


def rank(config: RankConfig, as_json: bool, dry_run: bool) -> None:
    """Ranks models that somebody has."""
    from untrained.cli import ranked  # with polars, which other commands do without

    if dry_run:
        ranked.plan(config)
        return
    with watching() as watch:
        found = ranked.rank(config.models, config.images, config, on_progress=watch)
    ranked.show(found, as_json)


def check(names: tuple[str, ...], config: CheckConfig, as_json: bool) -> None:
    """Says what holds of scores, spaces and searchers."""
    from untrained.cli.checked import show_checked  # with what only it needs

    show_checked(names, config, as_json)


def inspect(model: str, config: InspectConfig, as_json: bool) -> None:
    """Says what hinders a network's training, and writes its page."""
    from untrained.cli.inspected import show_inspected  # with polars and plotly

    show_inspected(model, config, as_json)


def report(folder: Location, page: Location | None, store: str | None) -> None:
    """Writes the page of a run or a tracking again."""
    if isinstance(folder, URL):
        folder.check_reached()
    found = RunFolder(folder.parent, folder.name, store)
    path = (pages.report_track if holds_tracking(found) else pages.report_run)(found, page)
    say(path, label="Report:", style="bold")


def data(as_json: bool) -> None:
    """Lists what data there is."""
    show_held((*tables.known_tables(), *images.known_images()), as_json)


def clear_pictures() -> None:
    """Removes what is kept of folders of pictures."""
    from untrained.images.kept import clear

    say(f"Removed {clear() / 1e6:,.1f} MB of decoded pictures.")


def import_table(format: str, path: Path, replace: bool) -> None:
    """Writes a table from a benchmark's own files."""
    with reading() as watched:
        table = importers.import_table(format, path, replace=replace, watched=watched)
    say(table, label="Table:", style="bold")
