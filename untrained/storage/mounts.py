"""Which file system a folder lies on: several machines cannot share a file of SQLite."""

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
"Where Linux says what is mounted."
NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs"),
        *(f"fuse.{name}" for name in ("sshfs", "glusterfs", "ceph", "s3fs", "gcsfuse", "juicefs")),
    }
)
"File systems of other machines, by Linux's names."


def network_file_system(path: Path) -> str | None:
    """The name of the network file system on which a file lies, or would lie.

    None where it is another one, or where this system does not say.
    """
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    kinds = {_unescaped(where): kind for _, where, kind, *_ in map(str.split, mounts)}
    resolved = path.resolve()
    for folder in (resolved, *resolved.parents):
        if kind := kinds.get(os.fspath(folder)):
            return kind if kind in NETWORK else None
    return None


def _unescaped(where: str) -> str:
    r"""A space, for one, is written as \040."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), where)
