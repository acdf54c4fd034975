"""Fixtures shared by many tests."""

import os
from pathlib import Path

import pytest
import torch

from untrained.images import Images, load_images

torch.set_num_threads(1)  # the suite runs one process a core

DATA = Path(os.environ.get("UNTRAINED_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def digits() -> Images:
    return load_images("digits")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of benchmark tables and images; tests that need it are skipped without."""
    if not DATA.exists():
        pytest.skip("no data folder: set UNTRAINED_DATA")
    return DATA
