"""What a person sees stays as it was written down, at every width and piped."""

import pytest
from sessions import FOLDER, WIDTHS, session


@pytest.mark.parametrize("name", WIDTHS)
def test_a_session_is_as_it_was_written_down(name: str) -> None:
    written = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert session(WIDTHS[name]) == written, "if it was meant: python tests/sessions.py"
