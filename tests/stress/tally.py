"""What the stress suite counts."""

from dataclasses import dataclass, field

COUNTS = ("tried", "lost", "different", "tracebacks")


@dataclass
class Tally:
    """What was tried of each kind, and how often it went wrong."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, kind: str, **more: int) -> None:
        row = self.counts.setdefault(kind, dict.fromkeys(COUNTS, 0))
        for name, count in more.items():
            row[name] += int(count)
