"""Where benchmark tables and named images lie. Any subpackage may import this; it imports none."""

import os
from pathlib import Path


def data_folder() -> Path:
    """The folder that holds `images/` and `tables/`, which need not exist.

    UNTRAINED_DATA names it; without it, it is `shared/data` beside the repository.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("UNTRAINED_DATA") or beside).expanduser()
