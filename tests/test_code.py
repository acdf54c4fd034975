"""The identity of code: what must change it, what must not, and what a process has loaded."""

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from untrained.runs import RunConfig, load_record, run
from untrained.runs.closure import closure_of
from untrained.runs.code import PACKAGE, code_version, modules_of, version_of
from untrained.runs.loaded import check_loaded
from untrained.runs.source import read_source
from untrained.tracking.config import TrackConfig
from untrained.tracking.track_one import track_one
from untrained.training import TrainingSpec

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes modules into a folder of the path, seconds after what was there, as compiled code of
    the same second would be taken for theirs; forgets them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    moments = count(time.time_ns(), 10**10)
    before = set(sys.modules)

    def call(**modules: str) -> None:
        for name, text in modules.items():
            path = tmp_path / f"{name.replace('__', '/', 1) if '__' in name else name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            later = next(moments)
            os.utime(path, ns=(later, later))
        importlib.invalidate_caches()

    yield call
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


def version(name: str = "mine") -> str:
    return code_version(("spaces",), name)


# Each way to reach a helper: the text of `mine`, and of modules between.
REACHED: dict[str, dict[str, str]] = {
    "import": {"mine": "import helper\n"},
    "import as": {"mine": "import helper as h\n"},
    "from": {"mine": "from helper import value\n"},
    "star": {"mine": "from helper import *\n"},
    "in a function": {"mine": "def f():\n    from helper import value\n    return value()\n"},
    "in a class": {"mine": "class A:\n    import helper\n"},
    "in a branch": {"mine": "try:\n    import nothing\nexcept ImportError:\n    import helper\n"},
    "for types alone": {"mine": "import typing\nif typing.TYPE_CHECKING:\n    import helper\n"},
    "in a lambda": {"mine": "f = lambda: __import__('helper').value()\n"},
    "by import_module": {"mine": "import importlib\nh = importlib.import_module('helper')\n"},
    "through another": {"mine": "import second\n", "second": "import third\n",
                        "third": "import helper\n"},
    "round and round": {"mine": "import second\n", "second": "import mine, helper\n"},
    "by a computed name": {"mine": "import importlib\nimportlib.import_module('hel' + 'per')\n"},
    "by its path": {
        "mine": "import importlib.util as u, pathlib\n"
        "s = u.spec_from_file_location('x', pathlib.Path(__file__).with_name('helper.py'))\n"
        "m = u.module_from_spec(s)\ns.loader.exec_module(m)\n"
    },
}  # fmt: skip


@pytest.mark.parametrize("way", REACHED)
def test_a_helper_counts_however_it_is_reached(write: Write, way: str) -> None:
    write(helper="def value(): return 1\n", **REACHED[way])
    before = version()
    write(helper="# a comment\ndef value():\n    'a docstring'\n    return (1)\n")
    assert version() == before
    write(helper="def value(): return 2\n")
    assert version() != before


PACKAGED: dict[str, tuple[dict[str, str], str]] = {
    "relative": ({"pack__mine": "from .helper import value\n"}, "pack.mine"),
    "relative module": ({"pack__mine": "from . import helper\n"}, "pack.mine"),
    "parent": ({"pack____init__": "from pack import helper\n", "pack__mine": ""}, "pack.mine"),
    "dotted": ({"mine": "import pack.helper\n"}, "mine"),
    "from a package": ({"mine": "from pack import helper\n"}, "mine"),
    "star with names": ({"pack____init__": "__all__ = ['helper']\n",
                         "mine": "from pack import *\n"}, "mine"),
    "relative by name": ({"pack__mine": "from importlib import import_module\n"
                          "h = import_module('.helper', __package__)\n"}, "pack.mine"),
    "every module of a folder": ({"pack____init__": "import importlib, pkgutil\n"
                                  "for _, name, _ in pkgutil.iter_modules(__path__):\n"
                                  "    importlib.import_module(f'pack.{name}')\n"}, "pack"),
}  # fmt: skip


@pytest.mark.parametrize("way", PACKAGED)
def test_packages_count_in_the_parts_that_are_reached(write: Write, way: str) -> None:
    modules, name = PACKAGED[way]
    modules = {"pack____init__": "", **modules}
    write(**modules, pack__helper="def value(): return 1\n", pack__other="")
    before = version(name)
    write(pack__helper="def value(): return 2\n")
    assert version(name) != before
    if way != "every module of a folder":
        before = version(name)
        write(pack__other="x = 1\n")
        assert version(name) == before


def test_the_package_of_a_module_counts_and_namespaces_do_not_hurt(write: Write) -> None:
    write(pack____init__="FACTOR = 1\n", pack__mine="", space__mine="import pack.mine\n")
    before, namespaced = version("pack.mine"), version("space.mine")
    write(pack____init__="FACTOR = 2\n")
    assert version("pack.mine") != before
    assert version("space.mine") != namespaced


def test_a_folder_in_a_package_that_is_not_loaded_is_followed(
    write: Write, tmp_path: Path
) -> None:
    """Python itself cannot say where its modules are, until the package is loaded."""
    (tmp_path / "pack" / "folder").mkdir(parents=True)
    helper = tmp_path / "pack" / "folder" / "helper.py"
    helper.write_text("FACTOR = 1\n")
    write(pack____init__="", mine="def later():\n    import pack.folder.helper\n")
    assert closure_of("mine").local.keys() == {"mine", "pack", "pack.folder.helper"}
    before = version("mine")
    helper.write_text("FACTOR = 21\n")
    assert version("mine") != before


@pytest.mark.parametrize(
    "edited",
    [
        "# a comment\nx = [1, 2]\nclass A:\n    b: int = 3\n\n    def f(self): return self.b\n",
        "'of the module'\nx = [\n  1,\n  2,\n]\nclass A:\n    'of it'\n"
        "    b: int = 3\n    'of b'\n"
        "    def f(self):\n        '''of f'''\n        return (self.b)\n",
    ],
)
def test_comments_docstrings_and_formatting_change_nothing(write: Write, edited: str) -> None:
    write(mine="x = [1, 2]\nclass A:\n    b: int = 3\n    def f(self):\n        return self.b\n")
    before = version()
    write(mine=edited)
    assert version() == before


@pytest.mark.parametrize(
    "edited", ["x = 'b'\n", "x = 'a'\ny = 1\n", "x: str = 'a'\n", "y = 'a'\n"]
)
def test_what_is_executed_changes_it(write: Write, edited: str) -> None:
    write(mine="x = 'a'\n")
    before = version()
    write(mine=edited)
    assert version() != before


def test_installed_packages_count_by_version_and_their_files_do_not(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "site"
    (packages / "strange-1.0.dist-info").mkdir(parents=True)
    about = packages / "strange-1.0.dist-info" / "METADATA"
    about.write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
    (packages / "strange.py").write_text("x = 1\n")
    (packages / "copied.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setattr("untrained.runs.closure._packages", lambda: (packages.resolve(),))
    write(mine="import strange, copied, os, numpy.linalg\n")
    found = closure_of("mine")
    assert found.installed["strange"] == "1.0"
    assert {"mine", "copied"} <= set(found.local)
    assert not {"strange", "os"} & set(found.local)
    before = version()
    (packages / "strange.py").write_text("x = 2000\n")
    assert version() == before
    (packages / "copied.py").write_text("x = 2000\n")  # has no version
    assert version() != before


def test_an_editable_package_counts_by_its_files(write: Write, tmp_path: Path) -> None:
    """A .pth file adds the folder of its project to the path: its files lie in no site folder."""
    write(project__editable="x = 1\n", mine="import editable\n")
    sys.path.append(str(tmp_path / "project"))
    try:
        before = version()
        write(project__editable="x = 2\n")
        assert version() != before
    finally:
        sys.path.remove(str(tmp_path / "project"))


def test_what_is_found_is_not_run(write: Write) -> None:
    write(mine="def f():\n    import loud.inner\n", loud____init__="raise SystemExit\n",
          loud__inner="raise SystemExit\n")  # fmt: skip
    assert set(closure_of("mine").local) == {"mine", "loud", "loud.inner"}


def test_a_file_that_is_not_python_counts_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "old.py"
    path.write_bytes(b"print 'of another time'\n")
    before = read_source(path)
    path.write_bytes(b"print 'of another age'\n")
    assert read_source(path).digest != before.digest
    assert before.imports == ()


def test_our_own_subpackages_count_and_those_that_a_plug_in_reaches(write: Write) -> None:
    write(mine="x = 1\n", trains="from untrained.training import train\nx = 1\n")
    assert version_of() == version_of() != version_of(training=True)
    assert version("trains") != version("mine")


def test_a_score_of_ours_with_a_colon_in_its_name_is_no_module() -> None:
    names = ("foresight:grad_norm", "foresight:grad_norm@2", "macs")
    assert modules_of(*names, "mine:Score@2") == {"mine"}


def test_a_comment_in_our_code_invalidates_nothing(tmp_path: Path) -> None:
    for path in sorted((PACKAGE / "kernels").glob("*.py"))[:10]:
        text = path.read_text(encoding="utf-8")
        copy = tmp_path / path.name
        copy.write_text(text + "\n# a comment\n", encoding="utf-8")
        assert read_source(copy).digest == read_source(path).digest
        copy.write_text(text + "\nx = 1\n", encoding="utf-8")
        assert read_source(copy).digest != read_source(path).digest


# What a process has loaded


def test_a_module_edited_after_it_was_loaded_is_refused(write: Write) -> None:
    write(helper="def value(): return 1\n", mine="import helper\n")
    importlib.import_module("mine")
    before = version()
    write(helper="def value():\n    return 1  # the same\n")
    assert version() == before
    write(helper="def value(): return 2\n")
    with pytest.raises(ValueError, match=r"helper\.py.*edited since.*new process"):
        version()
    importlib.reload(sys.modules["helper"])
    assert version() != before


EDITS = {
    "a function": ("def f(): return 1\n", "def f(): return 2\n"),
    "a method": ("class A:\n    def f(self): return 1\n", "class A:\n    def f(self): return 2\n"),
    "a property": ("class A:\n    @property\n    def f(self): return 1\n",
                   "class A:\n    @property\n    def f(self): return 2\n"),
    "a nested one": ("def f():\n    def g(): return 1\n    return g\n",
                     "def f():\n    def g(): return 2\n    return g\n"),
    "a constant": ("LIMIT = 1\n", "LIMIT = 2\n"),
    "a default": ("class A:\n    size: int = 1\n", "class A:\n    size: int = 2\n"),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_before_the_first_question_is_noticed_too(
    write: Write, tmp_path: Path, edit: str
) -> None:
    """As in a notebook that imports a module, edits it, and only then asks for a run."""
    old, new = EDITS[edit]
    write(**{f"edited{list(EDITS).index(edit)}": old})
    name = f"edited{list(EDITS).index(edit)}"
    importlib.import_module(name)
    write(**{name: new})
    with pytest.raises(ValueError, match="edited since"):
        version(name)


def test_a_module_that_holds_an_old_function_of_a_reloaded_one_is_refused(write: Write) -> None:
    write(helper="def value(): return 1\n", mine="from helper import value\n")
    importlib.import_module("mine")
    write(helper="def value(): return 2\n")
    importlib.reload(sys.modules["helper"])
    with pytest.raises(ValueError, match=r"helper\.py: .* mine runs"):
        version()


def test_what_a_program_changes_itself_is_no_edit(write: Write, tmp_path: Path) -> None:
    write(
        mine="import functools\nCALLS = 0\nSEEN = []\nclass A:\n    count = 0\n"
        "    def __init__(self): type(self).count += 1\n"
        "def f():\n    global CALLS\n    CALLS += 1\n    SEEN.append(1)\n"
        "@functools.lru_cache\ndef g(): '''text'''; return 'text'\n"
        "h = lambda x: x + 1\nif True:\n    LEVEL = 1\nLEVEL = 2\n"
    )
    mine: Any = importlib.import_module("mine")
    mine.f()
    mine.A()
    version()
    check_loaded("mine", tmp_path / "mine.py", read_source(tmp_path / "mine.py").digest)


@pytest.mark.parametrize("name", ["json.decoder", "textwrap", "dataclasses", "argparse", "enum",
                                  "asyncio.tasks", "fractions"])  # fmt: skip
def test_other_peoples_modules_are_as_they_were_loaded(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("untrained.runs.loaded.is_local", lambda path: True)
    module = importlib.import_module(name)
    assert module.__file__ is not None
    check_loaded(name, Path(module.__file__), "any")


# Runs


SCORE = """
from dataclasses import dataclass
from untrained.scores import Reading, Score
from helper import value

@dataclass(frozen=True)
class Own(Score):
    higher_is_better = True

    def __call__(self, network, probe, generator):
        return Reading(value())
"""

SPACE = """
from typing import ClassVar
from untrained.spaces.nasbench201 import NASBench201
from helper import value

class Own(NASBench201):
    name: ClassVar = "own"

    def build(self, architecture, scale, *, inputs, classes):
        network = super().build(architecture, scale, inputs=inputs, classes=classes)
        network.register_forward_hook(lambda module, given, logits: logits * value())
        return network

SPACE = Own()
"""


def quick(out: Path, **changes: Any) -> RunConfig:
    settings: dict[str, Any] = {
        "searcher": "random", "options": {"evaluations": 2}, "scores": ("parameters",),
        "draws": 1, "workers": 0, "scale": "small", "out": out, **changes,
    }  # fmt: skip
    return RunConfig(**settings)


def test_a_score_is_measured_anew_when_what_it_imports_is_edited(
    write: Write, tmp_path: Path
) -> None:
    def values() -> set[float | None]:
        folder = run(quick(tmp_path / "out", scores=("mine:Own",)))
        trials = load_record(folder.store, folder.name).trials
        return {reading.value for trial in trials for reading in trial.readings["mine:Own"]}

    write(helper="def value(): return 1.0\n", mine=SCORE)
    assert values() == {1.0}
    write(helper="def value(): return 2.0\n")
    with pytest.raises(ValueError, match=r"helper\.py"):
        values()
    for name in ("mine", "helper"):
        del sys.modules[name]
    assert values() == {2.0}


def test_code_that_is_edited_during_a_run_stores_nothing(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(helper="def value(): return 1.0\n", mine=SCORE)
    measured = []

    def edit(*_: object) -> None:
        measured.append(1)
        write(helper="def value(): return 2.0\n")

    with pytest.raises(ValueError, match=r"edited since"):
        run(quick(tmp_path / "out", scores=("mine:Own",)), edit)
    assert measured


def test_searchers_and_spaces_are_named_by_what_they_import(write: Write, tmp_path: Path) -> None:
    write(helper="def value(): return 1\n", mine=SPACE)
    asked = quick(tmp_path / "out", space="mine:SPACE")
    before = run(asked)
    assert run(asked) == before
    write(helper="def value(): return 3\n")
    for name in ("mine", "helper"):
        del sys.modules[name]
    assert run(asked) != before


def test_a_space_that_is_an_object_of_our_class_counts_by_the_module_that_makes_it(
    write: Write, tmp_path: Path
) -> None:
    write(helper="", mine="from untrained.spaces.nasbench201 import NASBench201\nimport helper\n"
          "SPACE = NASBench201()\n")  # fmt: skip
    asked = quick(tmp_path / "out", space="mine:SPACE")
    before = run(asked)
    del sys.modules["mine"], sys.modules["helper"]
    write(helper="x = 1\n")
    assert run(asked) != before


def test_a_tracking_counts_what_its_network_imports(write: Write, tmp_path: Path) -> None:
    write(
        helper="WIDTH = 4\n",
        mine="from torch import nn\nimport helper\ndef make(inputs, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64 * inputs, classes))\n",
    )
    config = TrackConfig(network="mine:make", probe=8, support=0, held_out=8,
                         training=TrainingSpec(epochs=1, images=64),
                         out=tmp_path / "out")  # fmt: skip
    folder, _ = track_one(config)
    assert track_one(config)[0] == folder
    del sys.modules["mine"], sys.modules["helper"]
    write(helper="WIDTH = 8\n")
    assert track_one(config)[0] != folder
