"""Reports of what is stored: of runs and of trackings, finished or under way."""

from pathlib import Path

from untrained.report.page import write_report
from untrained.report.tracked_page import write_tracked
from untrained.runs import RunFolder, load_record
from untrained.runs.track_config import as_plain, command_of, load_asked
from untrained.runs.tracking import load_track
from untrained.spaces import get_space
from untrained.tables import standings

EXPORTED = {
    "network.py": "loader: needs torch and safetensors alone",
    "weights.safetensors": "weights",
    "network.onnx": "ONNX",
}


def report_run(folder: RunFolder) -> Path:
    """Writes the page of a run, finished or under way, and returns its path.

    Raises:
        ValueError: no such store or run.
        OSError: the page cannot be written.
    """
    record = load_record(folder.store, folder.name)
    space = get_space(record.space)
    files = {
        label: f"network/{file}"
        for file, label in EXPORTED.items()
        if (folder.network / file).exists()
    }
    write_report(
        record,
        folder.report,
        graphs=space.graphs(space.parse(record.pick)) if record.pick else (),
        standings=standings(record.space, record.pick) if record.pick else (),
        exported=files,
        command=f"untrained report {folder.path}",
    )
    return folder.report


def report_track(folder: RunFolder) -> Path:
    """Writes the page of a tracking, finished or under way, and returns its path.

    Raises:
        ValueError: nothing was looked at yet, or what is there cannot be read.
        OSError: no such tracking, or the page cannot be written.
    """
    config, architecture = load_asked(folder)
    write_tracked(
        load_track(folder.path),
        folder.report,
        title=f"{config.network or config.space} on {config.images}",
        network=architecture or str(config.network),
        facts=as_plain(config),
        command=command_of(config, architecture),
    )
    return folder.report
