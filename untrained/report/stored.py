"""The report of a run as the store holds it."""

from pathlib import Path

from untrained.report.page import write_report
from untrained.runs import RunFolder, load_record
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
