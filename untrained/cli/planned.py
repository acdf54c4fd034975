"""What would be done, for people and for machines."""

import json
import tomllib


def show_plan(toml: str, as_json: bool, *, note: str = "") -> None:
    """A configuration as TOML, or as one JSON object.

    Args:
        toml: as a file has it.
        as_json: for machines.
        note: what is to be said beside it: a comment, or the key `plan`.
    """
    if as_json:
        print(json.dumps(tomllib.loads(toml) | ({"plan": note} if note else {})))
        return
    if note:
        print(f"# {note}")
    print(toml, end="")
