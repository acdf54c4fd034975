"""The documentation names what there is, and its commands and files are as they are written."""

import importlib
import inspect
import pkgutil
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

import untrained
from untrained.images import draw_probe
from untrained.spaces import get_space

ROOT = Path(__file__).parents[1]
EXAMPLES, PUBLISHING = ROOT / "examples", ROOT / "publishing"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMED = {page.relative_to(ROOT).as_posix(): page for page in PAGES}
FENCED = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)
INCLUDED = re.compile(r'^--8<-- "(.+)"$', re.M)


def module_at(folder: Path, name: str) -> Iterator[ModuleType]:
    """A module of a folder that is no package, forgotten afterwards with those beside it."""
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
        for path in folder.glob("*.py"):
            sys.modules.pop(path.stem, None)


@pytest.fixture(scope="module")
def reference() -> Iterator[ModuleType]:
    yield from module_at(PUBLISHING, "reference")


@pytest.fixture
def my_nets() -> Iterator[ModuleType]:
    yield from module_at(EXAMPLES, "my_nets")


# Public names


def public() -> Iterator[tuple[str, object]]:
    """Of `untrained` and of every subpackage, what `__all__` lists."""
    stubs = {path.parent.name for path in Path(untrained.__file__).parent.glob("*/__init__.pyi")}
    for home in ("", *sorted(stubs | {"scores", "searchers", "spaces"})):
        offered = importlib.import_module(f"untrained.{home}".rstrip("."))
        names: list[str] = vars(offered)["__all__"]
        yield from ((f"{offered.__name__}.{n}", getattr(offered, n)) for n in names)


def test_every_public_name_is_in_the_reference(reference: ModuleType) -> None:
    """Once as an entry, which leads to that very thing; those of `untrained` in its table."""
    made = "".join(reference.pages().values())
    described = [pkgutil.resolve_name(name) for name in re.findall(r"^::: (\S+)$", made, re.M)]
    found = {name: value for name, value in public() if not any(value is d for d in described)}
    assert found == {}
    table = set(re.findall(r"^\| `(\S+)`", made, re.M))
    assert {name for name, _ in public() if name.count(".") == 1} - table == set()


def test_every_public_function_and_class_says_what_it_is() -> None:
    described = (inspect.isfunction, inspect.isclass)
    silent = [
        name
        for name, found in public()
        if any(is_one(found) for is_one in described) and not found.__doc__
    ]
    assert silent == []


def test_every_public_name_of_the_package_is_used_by_an_example() -> None:
    text = (EXAMPLES / "every_name.py").read_text()
    offered = {name for name, _ in public() if name.count(".") == 1}
    assert offered - set(re.findall(r"untrained\.\w+", text)) == set()


def test_every_page_is_in_the_navigation(reference: ModuleType) -> None:
    nav = (ROOT / "mkdocs.yml").read_text()
    written = [page.relative_to(ROOT / "docs").as_posix() for page in PAGES[1:]]
    assert [name for name in (*written, *reference.pages()) if f" {name}\n" not in nav] == []


# What pages show


def blocks(page: Path, *kinds: str) -> list[str]:
    """The fenced text of these kinds, without prompts."""
    found = FENCED.findall(page.read_text(encoding="utf-8"))
    return [re.sub(r"^\$ ", "", text, flags=re.M) for kind, text in found if kind in kinds]


@pytest.mark.parametrize("name", NAMED)
def test_python_of_pages_is_python(name: str) -> None:
    for text in blocks(NAMED[name], "python"):
        if ">>>" not in text and not INCLUDED.search(text):
            compile(text, name, "exec")


def commands(page: Path) -> list[list[str]]:
    """The words of every `untrained ...` in a block of commands; those with ... are no whole."""
    joined = "\n".join(blocks(page, "", "sh")).replace("\\\n", " ")
    lines = [re.split(r"\s+#|\s&$", line)[0] for line in joined.splitlines()]
    return [shlex.split(line)[1:] for line in lines if re.match(r"untrained (?!.*\.\.\.)", line)]


@pytest.mark.parametrize("name", NAMED)
def test_commands_of_pages_have_such_flags(name: str) -> None:
    from untrained.cli.app import app

    for words in commands(NAMED[name]):
        app.parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("name", NAMED)
def test_pages_link_to_and_include_files_that_are_there(name: str) -> None:
    page = NAMED[name]
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", re.sub(FENCED, "", text))
    made = ("reference/", "notebook.md")  # by `make docs`
    there = [page.parent / link for link in links if not any(m in link for m in made)]
    assert [str(path) for path in there if not path.exists()] == []
    assert [path for path in INCLUDED.findall(text) if not (ROOT / path).exists()] == []


# Examples


def test_the_theorists_tutorial_shows_what_its_file_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    runpy.run_path(str(EXAMPLES / "kernels.py"), run_name="__main__")
    assert capsys.readouterr().out == blocks(ROOT / "docs/tutorials/theorist.md", "text")[0]


def test_the_engineers_files_make_pictures_and_networks_for_them(
    my_nets: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "make_pictures.py"), run_name="__main__")
    images = untrained.load_images("pictures", size=16)
    assert len(images.classes) == 4
    nets = [make(inputs=3, classes=4) for make in my_nets.NETS.values()]
    space = get_space("my_family:make")
    smallest = next(space.enumerate())
    nets += [space.build(smallest, space.scales["full"], inputs=(3, 16, 16), classes=4)]
    spec, generator = untrained.ProbeSpec(count=2), torch.Generator().manual_seed(0)
    x = draw_probe(images, spec, generator).inputs
    assert [net(x).shape for net in nets] == [(2, 4)] * 5
