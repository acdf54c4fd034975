"""Fixtures shared by many tests."""

from importlib import import_module
from pathlib import Path

import pytest
import torch
from parsing import Parse, until_images

from untrained.data import data_folder
from untrained.images import Images, load_images

collect_ignore = ["away.py"]  # importing it, as for doctests, changes torch for the whole process

torch.set_num_threads(1)  # the suite runs one process a core


@pytest.fixture(scope="session")
def digits() -> Images:
    return load_images("digits")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of benchmark tables and images; tests that need it are skipped without."""
    if not data_folder().exists():
        pytest.skip("no data folder: set UNTRAINED_DATA")
    return data_folder()


@pytest.fixture
def without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports as where `untrained[onnx]` is not installed: tracing a network takes seconds."""
    module = import_module("untrained.training.export")  # the package has a function of this name
    monkeypatch.setattr(module, "missing_packages", lambda: ("onnx",))


@pytest.fixture
def parse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Parse:
    """Commands in an empty folder, up to where they would read images."""
    monkeypatch.chdir(tmp_path)
    return until_images(monkeypatch, capsys)
