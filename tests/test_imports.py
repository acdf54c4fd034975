"""The import rule: which subpackage may import which."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import untrained

PACKAGE = Path(untrained.__file__).parent

ARROWS = {
    "spaces": set(),
    "archives": set(),
    "images": {"archives"},
    "networks": set(),
    "analysis": set(),
    "tables": {"spaces"},
    "importers": {"spaces", "tables"},
    "regions": {"networks"},
    "layerwise": {"networks"},
    "kernels": {"networks", "layerwise", "analysis"},
    "wide": {"networks"},
    "distillation": {"images", "networks", "analysis"},
    "scores": {"kernels", "regions", "analysis", "networks", "images"},
    "training": {"images", "networks"},
    "searchers": {"spaces"},
    "migrations": set(),
    "storage": {"spaces", "scores", "training", "searchers", "migrations"},
    "runs": {
        *("spaces", "images", "tables", "networks", "analysis", "kernels", "scores", "training"),
        *("searchers", "storage"),
    },
    "tracking": {
        *("spaces", "images", "networks", "analysis", "kernels", "training", "storage", "runs"),
    },
    "benching": {"spaces", "scores", "tables", "training", "storage", "runs"},
    "ranking": {
        *("spaces", "images", "networks", "scores", "training", "searchers", "storage"),
        *("runs", "benching"),
    },
    "inspection": {"images", "networks", "kernels", "analysis", "runs", "pages"},
    "conformance": {"spaces", "images", "networks", "scores", "training", "searchers", "runs"},
    "pages": {
        *("spaces", "tables", "searchers", "storage", "runs", "tracking", "benching", "ranking"),
    },
    "front": {
        *("images", "networks", "spaces", "training", "storage", "runs", "tracking", "benching"),
        *("ranking", "inspection", "pages"),
    },
    "serve": {"storage", "runs", "tracking", "pages"},
    "cli": {
        *("images", "scores", "spaces", "tables", "importers", "training", "storage", "runs"),
        *(
            "tracking",
            "benching",
            "conformance",
            "inspection",
            "ranking",
            "pages",
            "front",
            "serve",
        ),
    },
}


FREE = (
    "data",
    "downloads",
    "estimate",
    "files",
    "locations",
    "memory",
    "notebook",
    "outside",
    "patience",
    "pickles",
    "plugins",
    "settings",
    "urls",
)  # any subpackage may; they import none


def subpackages_imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the subpackage they reach"
            names.add(str(node.module))
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in names]
    root = {p[1] for p in parts if p[0] == "untrained" and len(p) > 1}
    assert root <= {*ARROWS, *FREE}, f"{path}: import what the root offers from its home"
    return {p[1] for p in parts if p[0] == "untrained" and len(p) > 1} & set(ARROWS)


@pytest.mark.parametrize("subpackage", ARROWS)
def test_a_subpackage_imports_only_what_its_arrows_allow(subpackage: str) -> None:
    for path in (PACKAGE / subpackage).rglob("*.py"):
        assert subpackages_imported(path) <= ARROWS[subpackage] | {subpackage}, path


def test_every_subpackage_is_one_folder_deep_and_known() -> None:
    folders = {p.parent.relative_to(PACKAGE) for p in PACKAGE.rglob("*.py")}
    assert {str(folder) for folder in folders} == {".", *ARROWS}


@pytest.mark.parametrize("name", FREE)
def test_what_every_subpackage_may_import_imports_none(name: str) -> None:
    assert subpackages_imported(PACKAGE / f"{name}.py") == set()


# Start-up


HEAVY = (
    "torch",
    "scipy",
    "sklearn",
    "pandas",
    "polars",
    "plotly",
    "sqlalchemy",
    "alembic",
    "jinja2",
    "numpy",
    "ray",
    "starlette",
    "uvicorn",
)


def loaded_by(program: str) -> set[str]:
    """The heavy libraries that a program has imported at its end."""
    shown = f"{program}\nimport sys\nprint(*sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "words",
    [
        "--version",
        "--help",
        "search --help",
        "track --help",
        "bench --help",
        "check --help",
        "inspect --help",
        "serve --help",
        "data import --help",
        "search --seed x",
    ],
)
def test_flags_are_read_without_any_heavy_library(words: str) -> None:
    asked = f"sys.argv = ['untrained', *{words.split()!r}]"
    program = f"import sys\n{asked}\nfrom untrained.cli import main\n"
    assert loaded_by(f"{program}try:\n    main()\nexcept SystemExit:\n    print()") == set()


def test_the_root_imports_none() -> None:
    assert loaded_by("import untrained, untrained.runs, untrained.kernels") == set()


def test_commands_do_without_what_only_reports_and_tables_need() -> None:
    found = loaded_by("import untrained.cli.actions")
    assert "torch" in found
    assert not found & {"sklearn", "pandas", "polars", "plotly", "ray", "starlette"}
    assert "scipy.stats" not in found
