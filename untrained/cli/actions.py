"""What the commands do: call the library, write the report, print."""

import json
import signal
from pathlib import Path

from untrained import front, images, importers, pages, tables  # which load their names when used
from untrained.benching.config import BenchConfig
from untrained.cli import BEGAN
from untrained.cli.held import show_held
from untrained.cli.planned import show_plan
from untrained.cli.progress import reading, watching
from untrained.cli.shown import show
from untrained.cli.swept import show_sweep, write_values
from untrained.cli.terminal import say, show_file
from untrained.cli.tracked import show_track, watching_snapshots
from untrained.conformance.config import CheckConfig
from untrained.front.asked import scoring, training
from untrained.inspection.config import InspectConfig
from untrained.locations import Location
from untrained.ranking.config import RankConfig
from untrained.runs import RunConfig, sweeps
from untrained.runs.budget import plan_in_words
from untrained.runs.config import ScoreConfig, TrainConfig
from untrained.runs.config_file import as_toml
from untrained.runs.driver import estimated
from untrained.runs.presets import fit, resolve
from untrained.runs.resolved import ResolvedConfig
from untrained.runs.sweep_config import SweepConfig
from untrained.storage import RunFolder
from untrained.tracking.config import TrackConfig
from untrained.tracking.track_one import track_one
from untrained.training.recipe import AUTO
from untrained.urls import URL


def search(config: RunConfig, as_json: bool = False, dry_run: bool = False) -> None:
    """Runs under a progress bar, writes the report and shows what was found; or shows the plan."""
    if dry_run:
        plan = estimated(config)
        note = "" if plan is None else plan_in_words(plan)
        show_plan(as_toml(planned(config)), as_json, note=note)
        return
    with watching() as watch:
        found = front.search(config.images, config=config, on_progress=watch, began=BEGAN)
    found.report()
    show(found.folder, as_json)


def score(
    architectures: tuple[str, ...], config: ScoreConfig, as_json: bool, dry_run: bool
) -> None:
    """Scores named architectures, as a search does."""
    search(scoring(architectures, config), as_json, dry_run)


def train(architecture: str, config: TrainConfig, as_json: bool, dry_run: bool) -> None:
    """Trains a named architecture, as a search does."""
    search(training(architecture, config), as_json, dry_run)


def planned(config: RunConfig) -> ResolvedConfig:
    """The configuration that would be run; images are loaded only where they decide on it."""
    resolved = resolve(config)
    if config.time_budget is not None or AUTO not in (
        resolved.training.recipe,
        resolved.calibration.recipe,
    ):
        return resolved
    return fit(resolved, images.load_images(config.images, size=config.size, seed=config.seed))


def track(architecture: str | None, config: TrackConfig, as_json: bool, dry_run: bool) -> None:
    """Tracks one network, and writes its page."""
    if dry_run:
        command = ("track", *([architecture] if architecture else []))
        show_plan(as_toml(config.resolved(), *command), as_json)
        return
    with watching_snapshots(config.recipe.epochs) as on_snapshot:
        folder, found = track_one(config, architecture, on_snapshot)
    pages.report_track(folder)
    show_track(found, folder, as_json)


def bench(folder: Path | None, config: BenchConfig, as_json: bool, dry_run: bool) -> None:
    """Ranks scores by a table: those of a run, or those that are measured for it."""
    from untrained.cli import boards  # with polars, which other commands do without

    if dry_run:
        boards.plan(folder, config, as_json)
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
        show_plan(as_toml(config, "sweep", name), as_json)
        return
    with watching() as watch:
        found = sweeps.sweep(name, config, watch)
    show_sweep(found, as_json)


def sweep_status(name: str, out: Location, store: str | None, as_json: bool) -> None:
    """Says how far a sweep is."""
    show_sweep(sweeps.sweep_state(RunFolder(out, name, store)), as_json)


def sweep_export(name: str, file: Path, out: Location, store: str | None, as_json: bool) -> None:
    """Writes what a sweep has measured."""
    count = write_values(sweeps.sweep_values(RunFolder(out, name, store)), file)
    if as_json:
        print(json.dumps({"lines": count, "file": str(file)}))
    else:
        say(f"{count:,} lines: {file}")


def sweep_merge(
    name: str, stores: tuple[str, ...], out: Location, store: str | None, as_json: bool
) -> None:
    """Puts the stores of shards together."""
    if not stores:
        raise ValueError("expected one store or more to copy from, got none")
    show_sweep(sweeps.merge_sweeps(RunFolder(out, name, store), stores), as_json)


def rank(config: RankConfig, as_json: bool, dry_run: bool) -> None:
    """Ranks models that somebody has."""
    from untrained.cli import ranked  # with polars, which other commands do without

    if dry_run:
        ranked.plan(config, as_json)
        return
    with watching() as watch:
        found = ranked.rank(config.models, config, on_progress=watch)
    ranked.show(found, as_json)


def check(names: tuple[str, ...], config: CheckConfig, as_json: bool) -> None:
    """Says what holds of scores, spaces and searchers."""
    from untrained.cli.checked import show_checked  # with what only it needs

    show_checked(names, config, as_json)


def inspect(model: str, config: InspectConfig, as_json: bool) -> None:
    """Says what hinders a network's training, and writes its page."""
    from untrained.cli.inspected import show_inspected  # with polars and plotly

    show_inspected(model, config, as_json)


def report(folder: Location, page: Location | None, store: str | None, as_json: bool) -> None:
    """Writes the page of a run or a tracking again."""
    if isinstance(folder, URL):
        folder.check_reached()
    show_file("report", front.report(folder, page, store=store), as_json)


def serve(
    out: Location, store: str | None, host: str, port: int, token: str, as_json: bool
) -> None:
    """Serves the pages of a store until it is interrupted."""
    from untrained import serve as live  # whose libraries are an extra

    def tell(address: str) -> None:
        if as_json:
            print(json.dumps({"address": address}), flush=True)
        else:
            say(address, label="Runs:", style="bold")

    library = live.Library(out, store)
    for number in (signal.SIGINT, signal.SIGTERM):  # which the server hears, and then raises anew
        signal.signal(number, signal.SIG_IGN)
    live.serve(library, host=host, port=port, token=token, on_ready=tell)


def data(as_json: bool) -> None:
    """Lists what data there is."""
    show_held((*tables.known_tables(), *images.known_images()), as_json)


def clear_pictures(as_json: bool) -> None:
    """Removes what is kept of folders of pictures."""
    from untrained.images.kept import clear

    removed = clear()
    if as_json:
        print(json.dumps({"removed_bytes": removed}))
    else:
        say(f"Removed {removed / 1e6:,.1f} MB of decoded pictures.")


def add_data(name: str, path: Path | None, replace: bool, as_json: bool) -> None:
    """Brings an image set or a table into the data folder."""
    from untrained.cli.added import add  # with tables' formats, which need polars

    add(name, path, replace, as_json)


def import_table(format: str, path: Path, replace: bool, as_json: bool) -> None:
    """Writes a table from a benchmark's own files."""
    with reading() as watched:
        table = importers.import_table(format, path, replace=replace, watched=watched)
    show_file("table", table, as_json)
