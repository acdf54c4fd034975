"""What was asked, as values that JSON holds; the key of whatever is kept is a digest of that.

Equal questions have equal keys, in whatever run or process. Stores and folders hold the keys, so
the names in a question, and the form of their values, stay as they are.
"""

import hashlib
import json
from dataclasses import asdict, is_dataclass
from typing import Any


def question(*, images: str, device: str, version: str, **about: object) -> dict[str, Any]:
    """What decides a number: what it is of, on which images and device, and by which code.

    Args:
        images: their fingerprint.
        device: where it is computed.
        version: of the code that computes it, as `code_version` gives it.
        about: all else that decides it, by name; a dataclass counts by its fields.
    """
    return {
        **{name: _plain(value) for name, value in about.items()},
        "images": images,
        "device": device,
        "version": version,
    }


def digest(value: object) -> str:
    """16 hexadecimal digits that stand for a value that JSON holds."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def calibration_of(search: str) -> str:
    """Whose trainings are those by which a search was calibrated, in the store."""
    return f"{search}-calibration"


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
