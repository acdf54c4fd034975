"""What `untrained check` may be told beside a name."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from untrained.settings import Setting


@dataclass(frozen=True)
class CheckConfig:
    """Settings of what is checked."""

    score_settings: dict[str, dict[str, Setting]] = field(default_factory=dict)
    """Settings of a score and of its probe, as in `untrained score`, such as
    `--score-settings.naswot.count 32`."""
    options: dict[str, Setting] = field(default_factory=dict)
    "Options of a searcher, as in `untrained search`."

    def check(self, names: Iterable[str]) -> "CheckConfig":
        """Itself, or ValueError where there is nothing to check, or settings of something else."""
        asked = tuple(names)
        if not asked:
            raise ValueError(
                "expected the name of a score, space or searcher, or package.module:name, got none"
            )
        if others := sorted(set(self.score_settings) - set(asked)):
            raise ValueError(
                f"score_settings: expected settings of {', '.join(asked)}, got some of "
                f"{', '.join(others)}"
            )
        return self

    def settings_of(self, name: str) -> dict[str, Setting]:
        """Those of one name."""
        return {**self.score_settings.get(name, {}), **self.options}
