"""Where files are: at a path of this machine, or under a URL.

Any subpackage may import this.
"""

import os
import re
import tempfile
from hashlib import blake2b
from pathlib import Path
from urllib.parse import unquote

from untrained.urls import URL

Location = Path | URL
"A file or folder."

_FORM = re.compile(r"[a-z][a-z0-9+.-]*://(?!/*$)(?!.*:.*@)[^?#]*", re.DOTALL)


def located(text: str) -> Location:
    """The path or URL that a text means; `file://` is a path.

    Raises:
        ValueError: a URL of another form, which is not shown: it may hold a password.

    Example:
        >>> located("runs"), located("file:///shared/my%20runs"), located("s3://bucket/runs/")
        (PosixPath('runs'), PosixPath('/shared/my runs'), 's3://bucket/runs')
    """
    protocol, separator, rest = text.partition("://")
    if not separator:
        return Path(text)
    if not _FORM.fullmatch(text):
        raise ValueError(
            "expected a URL such as s3://BUCKET/FOLDER, with neither a password nor ? or #, got "
            "one of another form; leave keys to the environment, such as AWS_ACCESS_KEY_ID, or to "
            "the files of the protocol's own tools"
        )
    if protocol not in ("file", "local"):
        return URL(text.rstrip("/"))
    if not rest.startswith("/"):
        raise ValueError(f"expected {protocol}:///FOLDER, got {text!r}; a path alone would do")
    return Path(unquote(rest))


def lock_file(place: Location) -> Path:
    """The file whose lock holds a place: itself or, under a URL, one of this machine's own.

    That has the same name in a folder of the same name, which is yet to be made.
    """
    if isinstance(place, Path):
        return place
    digest = blake2b(place.parent.encode(), digest_size=8).hexdigest()
    ours = Path(tempfile.gettempdir()) / f"untrained-{os.getuid()}-{digest}"
    return ours / place.parent.name / place.name
