"""The command: its parts, and how failures are told."""

import errno
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from untrained.cli.commands import (
    add_data,
    bench,
    check,
    clear_pictures,
    data,
    demo,
    import_table,
    inspect,
    rank,
    report,
    score,
    search,
    serve,
    sweep,
    sweep_export,
    sweep_merge,
    sweep_status,
    track,
    train,
)
from untrained.cli.ending import interrupted
from untrained.cli.flags import check_words, read, read_file, renamed
from untrained.cli.help import MostUsedFirst
from untrained.cli.run_commands import export, runs_compare, runs_list, runs_rm, runs_show
from untrained.cli.terminal import WORKING, note, prepare, say
from untrained.locations import Location

app = App(
    name="untrained",
    help="""Neural architecture search with training-free scores, also called zero-cost proxies:
judge neural networks before, or after very little, training, and find good ones.

Start with `untrained demo`. Then bring your own images, a folder with one subfolder per class:

    untrained search --images my-pictures --train

What was computed is kept in `untrained-runs` and never computed again: a command that was
stopped, even by kill -9, resumes when it is given again.

Exit codes: 0 done; 1 it could not be done, or nothing was found; 2 wrong use; 130 interrupted.
""",
    version=version("untrained"),
    help_format="markdown",
    help_formatter=MostUsedFirst(),
    default_parameter=Parameter(converter=read, consume_multiple=True, negative_iterable=()),
    exit_on_error=False,  # `main` says it in one line
    print_error=False,
    suppress_keyboard_interrupt=False,  # so does it this
)

for _command in (search, demo, score, rank, bench, check, train, track, inspect, report, serve):
    app.command(_command)
_sweep_app = App(name="sweep")
_sweep_app.default(sweep)
_sweep_app.command(sweep_status, name="status")
_sweep_app.command(sweep_export, name="export")
_sweep_app.command(sweep_merge, name="merge")
app.command(_sweep_app)
_data_app = App(name="data")
_data_app.default(data)
_data_app.command(add_data, name="add")
_data_app.command(import_table, name="import")
_data_app.command(clear_pictures, name="clear")
app.command(_data_app)
_runs_app = App(name="runs", help="List, show, compare and remove runs.")
_runs_app.command(runs_list, name="list")
_runs_app.command(runs_show, name="show")
_runs_app.command(runs_compare, name="compare")
_runs_app.command(runs_rm, name="rm")
app.command(_runs_app)
app.command(export)


@app.meta.default
def untrained(  # after whose name the file of shell completion is called
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config_file: Annotated[Location | None, Parameter(name="--config")] = None,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative="")] = False,
    verbose: Annotated[bool, Parameter(name=("--verbose", "-v"), negative="")] = False,
    log_file: Path | None = None,
) -> None:
    """Reads flags, and those left unsaid from a TOML file.

    Args:
        config_file: TOML file, or its URL, whose keys are the flags of the command; flags take
            precedence, key by key.
        quiet: Say nothing but the result, and why there is none: no progress, no warnings.
        verbose: Say more about the work, on the error stream.
        log_file: File to which progress, warnings and errors are appended, each with its time.
    """
    prepare(quiet=quiet, verbose=verbose, log_file=log_file)
    app.config = (check_words, *([] if config_file is None else [read_file(config_file)]))
    app(tokens)


app.meta.register_install_completion_command(
    help="""Install completion for bash, zsh, fish or PowerShell: of the one that runs, or of
    --shell; --output FILE writes it elsewhere."""
)


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
        from untrained.memory import out_of_memory

        if not out_of_memory(error):
            raise
        fail("Memory ran out; everything computed so far is kept. Give the same command again "
             "with fewer --workers or on a larger machine: it resumes."
             + (f" ({error})" if str(error) else ""), 1)  # fmt: skip


def fail(message: str, code: int) -> None:
    """Says what went wrong in one line and ends; UNTRAINED_TRACEBACK=1 shows where."""
    if os.environ.get("UNTRAINED_TRACEBACK"):
        raise
    note(message)
    say(message, label="untrained:", label_style="red", to=WORKING)
    sys.exit(code)
