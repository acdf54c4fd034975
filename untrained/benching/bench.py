"""From scores to a leaderboard: architectures of a table, measured as any run measures."""

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from untrained.benching.calibrating import calibrate, draw_untabled
from untrained.benching.config import LEAST, BenchConfig
from untrained.benching.joined import Measured, accuracies_of, as_measuring, leaderboard_of
from untrained.benching.judged import Judged, find_judged
from untrained.benching.leaderboard import Leaderboard
from untrained.benching.population import Sample, draw_sample
from untrained.files import write_whole
from untrained.outside import command_line
from untrained.runs.config import BASELINES, CommonConfig
from untrained.runs.config_file import as_toml
from untrained.runs.driver import opened
from untrained.runs.ray_config import RayConfig
from untrained.runs.session import OnProgress, ignore
from untrained.runs.sweeping import sweep
from untrained.spaces import SPACES, get_space
from untrained.storage.folder import RunFolder

CONFIG = "bench.toml"
"The file of a bench's folder that reproduces it."

FREE = (
    "combine", "dataset", "table", "thresholds", "resamples", "workers", "engine", "ray", "store",
)  # fmt: skip
"What may be said of a run that is there."


def bench(config: BenchConfig, on_progress: OnProgress = ignore) -> Leaderboard:
    """Measures scores on a sample of a table's architectures, and ranks the scores by the table.

    It is a run like any other: whatever was measured before is not measured again, and one that
    was stopped in any way resumes. Scores cannot see the table.

    Args:
        config: everything that is asked.
        on_progress: called as work proceeds.

    Returns:
        The leaderboard; the same is in its `folder`, in the run's folder.

    Raises:
        ValueError: a configuration, table, image set or plug-in that makes no sense.
        OSError: files that are missing or cannot be written.
    """
    config = config.check()
    if config.train is not None:
        measured, found = calibrate(config, on_progress)
    else:
        judged, sample = _drawn(config)
        measured = _measure(config, sample.architectures, on_progress)
        accuracies = accuracies_of(judged, sample)
        found = leaderboard_of((measured,), accuracies, sample.declared, config, on_progress)
    out = measured.folder.path / found.accuracy
    found.write(out)
    write_whole(out / CONFIG, as_toml(config, "bench").encode())
    again = command_line("untrained", "bench", "--config", str(out / CONFIG))
    return replace(found, folder=out, command=again)


def _drawn(config: BenchConfig) -> tuple[Judged, Sample]:
    judged = find_judged(config.space, config.table, config.dataset, config.images)
    return judged, draw_sample(config, get_space(config.space), judged)


def plan_of(config: BenchConfig) -> str:
    """What `bench` would measure, in words.

    Raises:
        ValueError: as `bench`, for all but scores and images.
    """
    config = config.check()
    scores = ", ".join(config.measured)
    if config.train is not None:
        return f"{scores} on {draw_untabled(config).declared}, judged by training them"
    judged, sample = _drawn(config)
    return f"{scores} on {sample.declared}, judged by {judged.column}"


def bench_run(
    folder: RunFolder, config: BenchConfig, on_progress: OnProgress = ignore
) -> Leaderboard:
    """Ranks the scores of a run that is there by the table of its space.

    Partial architectures, and those that the table does not hold, are left out. The baselines
    that the run lacks are measured beside it.

    Args:
        folder: the run's.
        config: says `FREE` fields alone; all else is the run's.
        on_progress: called as work proceeds.

    Raises:
        ValueError: other fields, no such run, a bench's own, one on a space that is not ours, one
            that took scores after various epochs of training, or fewer than 20 of its
            architectures in the table.
        OSError: files that are missing or cannot be written.
    """
    config = config.check()
    _check_free(folder, config)
    measured = Measured.of(folder)
    record = measured.record
    if record.space not in SPACES:
        raise ValueError(
            f"expected a run on {' or '.join(SPACES)}, got one on {record.space!r}: what a store "
            f"names is never imported; give the scores to untrained bench --space {record.space}"
        )
    if len({trial.epochs for trial in record.trials}) > 1:
        raise ValueError(
            f"expected scores after equally many epochs of training, got those of a "
            f"{record.searcher} search, which trains some architectures longer than others; try "
            f"untrained bench --space {record.space}"
        )
    judged = find_judged(record.space, config.table, config.dataset, str(record.images["name"]))
    texts = dict.fromkeys(trial.architecture for trial in record.trials)
    held = judged.table.found([t for t in texts if not SPACES[record.space].parse(t).partial])
    if len(held) < LEAST:
        raise ValueError(
            f"expected {LEAST} architectures of the run or more in {judged.table.path.name}, got "
            f"{len(held)} of {len(texts)}; try untrained bench --space {record.space}"
        )
    by = "were named" if record.searcher == "given" else f"{record.searcher} search proposed"
    declared = f"{len(held):,} architectures that {by}, no random sample"
    sample = Sample(tuple(held["asked"]), declared)
    beside = _baselines(measured, sample.architectures, config, on_progress)
    accuracies = accuracies_of(judged, sample)
    found = leaderboard_of((measured, *beside), accuracies, declared, config, on_progress)
    out = folder.path / judged.column
    found.write(out)
    said = _flags(replace(config, dataset=judged.column))
    again = command_line("untrained", "bench", str(folder.path), *said)
    return replace(found, folder=out, command=again)


def _check_free(folder: RunFolder, config: BenchConfig) -> None:
    """Refuse what cannot be said of a run that is there, and a run that is a bench already."""
    if given := [name for name in _given(config) if name not in FREE]:
        raise ValueError(
            f"expected {', '.join(FREE)} alone beside a run's folder, got {', '.join(given)}: "
            f"that is as it was in the run"
        )
    inside = folder.path.glob(f"*/{CONFIG}") if isinstance(folder.path, Path) else ()
    if known := sorted(inside):
        again = command_line("untrained", "bench", "--config", str(known[0]))
        raise ValueError(
            f"expected the folder of a search or of untrained score, got that of a bench; for "
            f"other accuracies of the same architectures: {again} --dataset NAME"
        )


def _given(config: BenchConfig | RayConfig) -> dict[str, Any]:
    """The fields that differ from their defaults."""
    usual, said = type(config)(), {f.name: getattr(config, f.name) for f in fields(config)}
    return {name: value for name, value in said.items() if value != getattr(usual, name)}


def _flags(config: BenchConfig | RayConfig, prefix: str = "--") -> Iterator[str]:
    """What was said beside a run's folder, as words of the command."""
    for name, value in _given(config).items():
        if isinstance(value, RayConfig):
            yield from _flags(value, f"{prefix}{name}.")
            continue
        yield f"{prefix}{name}"
        yield from map(str, value if isinstance(value, tuple) else (value,))


def _baselines(
    measured: Measured,
    architectures: tuple[str, ...],
    config: BenchConfig,
    on_progress: OnProgress,
) -> tuple[Measured, ...]:
    """A run beside another one that measures the baselines it lacks; none if it lacks none."""
    record = measured.record
    missing = tuple(name for name in BASELINES if name not in record.directions)
    if not missing:
        return ()
    common: Any = {f.name: getattr(config, f.name) for f in fields(CommonConfig)}
    common |= {name: record.config[name] for name in common if name not in FREE}
    common |= {"out": measured.folder.out, "store": measured.folder.elsewhere}
    asked = BenchConfig(**common, scores=missing, draws=1)
    return (_measure(asked, architectures, on_progress),)


def _measure(
    config: BenchConfig, architectures: tuple[str, ...], on_progress: OnProgress
) -> Measured:
    """The run that measures them."""
    tell = as_measuring(config, architectures, on_progress)
    with opened(config.run_config(architectures), tell) as session:
        sweep(session)
        session.store.set_selected(session.id, None)  # the sweep has ended
    return Measured.of(session.folder)
