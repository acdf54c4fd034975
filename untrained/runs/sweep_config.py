"""What a sweep is asked: one frozen value, from flags or TOML."""

import re
from dataclasses import dataclass, fields
from typing import NamedTuple

from untrained.runs.config import RunConfig, ScoreConfig
from untrained.settings import checked

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Shard(NamedTuple):
    """A part of a sweep's ranges: every one whose number leaves the same remainder."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Of the form `3/16`.

        Raises:
            ValueError: another form, or a number beyond the last.

        Example:
            >>> Shard.parse("3/16")
            Shard(number=3, of=16)
        """
        found = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", text)
        shard = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
        if not 1 <= shard.number <= shard.of:
            raise ValueError(f"shard: expected a part of a whole, such as 3/16, got {text!r}")
        return shard

    def numbers(self, count: int) -> range:
        """Of its ranges, of so many."""
        return range(self.number - 1, count, self.of)


@dataclass(frozen=True)
class SweepConfig(ScoreConfig):
    """Many architectures, and the scores that are measured on them."""

    architectures: str = "all"
    """`all` of the space; `random:1000000`, so many drawn from it (`random:1000000:7` are others);
    or a file with a text form a line. They are read as they are measured, and may be more than fit
    in memory."""
    shard: str | None = None
    """Measure a part alone, such as `3/16`, for drivers without a store in common; `sweep merge`
    puts their stores together."""

    @property
    def part(self) -> Shard:
        """The shard."""
        return Shard() if self.shard is None else Shard.parse(self.shard)

    def check(self) -> "SweepConfig":
        """Itself, each field of its type, or ValueError for a shard that is none.

        What all runs are asked is checked as theirs is.
        """
        config = checked(self)
        _ = config.part
        return config

    def run_config(self) -> RunConfig:
        """The run that measures them."""
        scored = {f.name: getattr(self, f.name) for f in fields(ScoreConfig)}
        return RunConfig(**scored, searcher="given", options={"population": self.architectures})


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a folder on every machine."""
    if not NAME.fullmatch(name):
        raise ValueError(
            f"expected a name for the sweep of letters, digits and . _ -, got {name!r}; try c10"
        )
