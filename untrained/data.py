"""Where benchmark tables and named images lie. Any subpackage may import this; it imports none."""

import os
from pathlib import Path

from platformdirs import user_data_path


def data_folder() -> Path:
    """The folder that holds `images/` and `tables/`, which need not exist.

    UNTRAINED_DATA names it; without it, it is the user's data folder, such as
    `~/.local/share/untrained` on Linux.
    """
    named = os.environ.get("UNTRAINED_DATA")
    return Path(named).expanduser() if named else user_data_path("untrained")
