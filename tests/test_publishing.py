"""What is published: the checks before a tag, and tutorials as a reader follows them."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "publishing"))

import release  # noqa: E402
import tutorials  # noqa: E402


@pytest.mark.parametrize(
    ("version", "tags", "said"),
    [
        ("0.2.0", [], ""),
        ("0.10.0", ["v0.9.0", "v0.2.0"], ""),
        ("0.2.0", ["v0.9.0", "v0.10.0"], "expected more than the last, 0.10.0, got 0.2.0"),
        ("0.2.0", ["v0.2.0"], "expected more than the last, 0.2.0, got 0.2.0"),
        ("two", [], "expected one such as 0.2.0, got 'two'"),
    ],
)
def test_a_version_is_new_and_later(version: str, tags: list[str], said: str) -> None:
    assert "".join(release.problems_of_version(version, tags)).removeprefix("version: ") == said


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("# Changelog\n\n## 0.2.0\n\n* a flag\n\n## 0.1.0\n\n* all\n", 0),
        ("# Changelog\n\n## Unreleased\n\n## 0.2.0\n\n* a flag\n", 0),
        ("# Changelog\n\n## Unreleased\n\n* more\n\n## 0.2.0\n\n* a flag\n", 1),
        ("# Changelog\n\n## Unreleased\n\n* more\n", 2),
        ("# Changelog\n\n## 0.2.0\n\n## 0.1.0\n\n* all\n", 1),
    ],
)
def test_a_release_says_what_users_must_change(text: str, count: int) -> None:
    assert len(release.problems_of_changelog(text, "0.2.0")) == count


def test_a_release_has_addresses_and_is_cited_by_its_version() -> None:
    here = {name: (ROOT / name).read_text() for name in release.ADDRESSED}
    named = {name: text.replace("OWNER", "someone") for name, text in here.items()}
    cited = named["CITATION.cff"].replace("version: 0.1.0", "version: 0.2.0")
    assert release.problems_of_addresses({**named, "CITATION.cff": cited}, "0.2.0") == []
    assert release.problems_of_addresses(named, "0.2.0") == [
        "CITATION.cff: expected the line 'version: 0.2.0'"
    ]


def test_a_tutorial_is_followed_file_by_file_and_command_by_command(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '```python title="a.py"\n--8<-- "examples/my_scores.py"\n```\n\n```text\nnot this\n```\n\n'
        "```sh\nset -u\ncat a.py | head -1 \\\n    | wc -l\n```\n\n```sh\nls\n```\n"
    )
    tutorials.follow(page, Path(sys.executable).parent, tmp_path / "new")
    assert (tmp_path / "new/a.py").read_text() == (ROOT / "examples/my_scores.py").read_text()
    assert capfd.readouterr().out.split() == ["1", "a.py"]
    page.write_text("```sh\nfalse\n```\n")
    with pytest.raises(SystemExit, match=r"page.md: exit code 1 of\nfalse"):
        tutorials.follow(page, Path(sys.executable).parent, tmp_path / "other")


@pytest.mark.parametrize("name", ["engineer", "researcher", "theorist"])
def test_tutorials_write_the_examples(name: str) -> None:
    steps = list(tutorials.steps(ROOT / "docs/tutorials" / f"{name}.md"))
    files = {step.file: step.text for step in steps if step.file}
    assert files
    assert any(not step.file for step in steps)
    assert files == {name: (ROOT / "examples" / name).read_text() for name in files}
