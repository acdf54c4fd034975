"""The commands and their flags, and how failures are told."""

import errno
import os
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from untrained.cli.ending import interrupted
from untrained.cli.flags import check_words, read, read_file, renamed
from untrained.cli.help import MostUsedFirst
from untrained.cli.progress import watching
from untrained.cli.shown import show
from untrained.cli.terminal import WORKING, prepare, say
from untrained.cli.tracked import show_track, watching_snapshots
from untrained.report.stored import report_run, report_track
from untrained.runs import RunConfig, RunFolder, run
from untrained.runs.config import ScoreConfig, TrainConfig
from untrained.runs.config_file import as_toml
from untrained.runs.failures import out_of_memory
from untrained.runs.presets import resolve, resolve_training
from untrained.runs.track_config import TrackConfig, holds_tracking, track_one
from untrained.spaces import get_space

app = App(
    name="untrained",
    help="""Judge neural networks before, or after very little, training, and find good ones.

Start with `untrained demo`. Then bring your own images, a folder with one subfolder a class:

    untrained search --images my-pictures --train

What was computed is kept in `untrained-runs` and never computed again: a command that was
stopped, even by kill -9, resumes when it is given again.
""",
    version=version("untrained"),
    help_format="markdown",
    help_formatter=MostUsedFirst(),
    default_parameter=Parameter(converter=read, consume_multiple=True, negative_iterable=()),
    exit_on_error=False,  # `main` says it in one line
    print_error=False,
    suppress_keyboard_interrupt=False,  # so does it this
)

SearchFlags = Annotated[RunConfig, Parameter(name="*")]
ScoreFlags = Annotated[ScoreConfig, Parameter(name="*")]
TrainFlags = Annotated[TrainConfig, Parameter(name="*")]
TrackFlags = Annotated[TrackConfig, Parameter(name="*")]
Switch = Annotated[bool, Parameter(negative="")]


@app.command
def search(
    *, config: SearchFlags = RunConfig(), json: Switch = False, dry_run: Switch = False
) -> None:
    """Search a space for a good network on your images; with --train, train and export it.

    Parameters
    ----------
    json
        Print one JSON object instead of tables.
    dry_run
        Print the whole configuration as TOML, and do nothing.
    """
    carry_out(config, json, dry_run)


@app.command
def demo(*, out: Path = Path("untrained-runs"), workers: int = RunConfig().workers) -> None:
    """The main job on the bundled digits: search, train, compare, export, report.

    Parameters
    ----------
    out
        Folder of the store and of the run.
    workers
        Worker processes.
    """
    carry_out(RunConfig(train=True, channels=16, cells=1, out=out, workers=workers))


@app.command
def score(
    *architectures: str,
    config: ScoreFlags = ScoreConfig(),
    json: Switch = False,
    dry_run: Switch = False,
) -> None:
    """Score architectures that you name.

    Parameters
    ----------
    architectures
        Text forms, each in quotes, such as '|nor_conv_3x3~0|+|none~0|none~1|+|...|'.
    json
        Print one JSON object instead of tables.
    dry_run
        Print the whole configuration as TOML, for `untrained search`, and do nothing.
    """
    carry_out(RunConfig(**vars(config), **given(config.space, architectures)), json, dry_run)


@app.command
def train(
    architecture: str,
    *,
    config: TrainFlags = TrainConfig(),
    json: Switch = False,
    dry_run: Switch = False,
) -> None:
    """Train and export one architecture that you name, beside random ones.

    Parameters
    ----------
    architecture
        Text form, in quotes.
    json
        Print one JSON object instead of tables.
    dry_run
        Print the whole configuration as TOML, for `untrained search`, and do nothing.
    """
    space = get_space(config.space)
    if space.parse(architecture).partial:
        raise ValueError(
            f"expected a discrete architecture to train, got {architecture}, which keeps several "
            f"operations on an edge or more edges than a network has; try untrained score"
        )
    size: dict[str, Any] = {"draws": 1, "train": True, "scores": ("parameters", "macs")}
    asked = RunConfig(**vars(config), **given(config.space, (architecture,)), **size)
    carry_out(asked, json, dry_run)


def given(space: str, architectures: tuple[str, ...]) -> dict[str, Any]:
    """What asks for named architectures, in place of a search."""
    if not architectures:
        raise ValueError("expected the text form of one architecture or more, got none")
    found = get_space(space)  # some published forms hold spaces, which separate here
    texts = [str(found.parse(text)) for text in architectures]
    return {"searcher": "given", "options": {"architectures": " ".join(texts)}}


@app.command
def track(
    architecture: str | None = None,
    *,
    config: TrackFlags = TrackConfig(),
    json: Switch = False,
    dry_run: Switch = False,
) -> None:
    """Follow the tangent kernel of one network through training, on images fixed once.

    Name an architecture of a space, or a network of your own with --network.

    Parameters
    ----------
    architecture
        Text form, in quotes.
    json
        Print one JSON object instead of a table.
    dry_run
        Print the whole configuration as TOML, and do nothing.
    """
    resolved = replace(config.check(), training=resolve_training(config.training))
    if dry_run:
        print(as_toml(resolved, "track ARCHITECTURE" if architecture else "track"), end="")
        return
    with watching_snapshots(config.recipe.epochs) as on_snapshot:
        folder, found = track_one(config, architecture, on_snapshot)
    report_track(folder)
    show_track(found, folder, json)


@app.command
def report(folder: Path, *, page: Path | None = None) -> None:
    """Write the report of a run or a tracking again, finished or under way.

    Parameters
    ----------
    folder
        Its folder, as `search` or `track` printed it.
    page
        The file to write; by default report.html in the folder, which is otherwise only read.
    """
    found = RunFolder(folder.parent, folder.name)
    path = report_track(found, page) if holds_tracking(found) else report_run(found, page)
    say(path, label="Report:", style="bold")


def carry_out(config: RunConfig, as_json: bool = False, dry_run: bool = False) -> None:
    """Runs under a progress bar, writes the report and shows what was found; or shows the plan."""
    if dry_run:
        print(as_toml(resolve(config)), end="")
        return
    with watching() as watch:
        folder = run(config, watch)
    report_run(folder, space=get_space(config.space))  # whose module the run has imported
    show(folder, as_json)


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config_file: Annotated[Path | None, Parameter(name="--config")] = None,
) -> None:
    """Reads flags, and those left unsaid from a TOML file.

    Parameters
    ----------
    config_file
        TOML file whose keys are the flags of the command; flags win over it, key by key.
    """
    app.config = (check_words, *([] if config_file is None else [read_file(config_file)]))
    app(tokens)


def main() -> None:
    """Runs the command. Exit codes: 0 done, 1 could not, 2 wrong use, 130 interrupted."""
    prepare()
    app.config = ()
    app.meta.suppress_keyboard_interrupt = False  # it inherits all settings but this one
    try:
        app.meta(sys.argv[1:])
    except KeyboardInterrupt:
        fail(interrupted("Interrupted"), 130)
    except (ValueError, CycloptsError) as error:
        fail(renamed(error) or str(error), 2)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            fail("The disk is full; everything computed so far is kept. Free some space and give "
                 "the same command again: it resumes.", 1)  # fmt: skip
        fail(str(error), 1)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        fail("Memory ran out; everything computed so far is kept. Give the same command again "
             "with fewer --workers or on a larger machine: it resumes."
             + (f" ({error})" if str(error) else ""), 1)  # fmt: skip


def fail(message: str, code: int) -> None:
    """Says what went wrong in one line and ends; UNTRAINED_TRACEBACK=1 shows where."""
    if os.environ.get("UNTRAINED_TRACEBACK"):
        raise
    say(message, label="untrained:", label_style="red", to=WORKING)
    sys.exit(code)
