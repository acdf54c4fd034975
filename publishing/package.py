"""Builds wheel and sdist, and uses them where nothing else of this folder is: `make package`.

1. Both are built as anyone would build them, and their files and metadata checked.
2. The version is that of the tag, and is known without tags and without git.
3. The wheel is installed in an empty environment, with `constraints.txt`, and used from an empty
   folder: the command, every public name, the examples.
4. The examples are checked as strictly as mypy and pyright can, against what was installed.
5. The sdist, installed in its place, gives the same files.

Needs pip to reach a registry, and a few minutes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import tutorials
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PINNED = ROOT / "constraints.txt"
STRICT = '{"typeCheckingMode": "strict", "exclude": ["**/*.ipynb"]}'
EVERY_NAME = """
import importlib, pkgutil, untrained
homes = ["untrained", *(f"untrained.{m.name}" for m in pkgutil.iter_modules(untrained.__path__) if m.ispkg)]
for home in map(importlib.import_module, homes):
    for name in getattr(home, "__all__", ()):
        getattr(home, name)
"""  # noqa: E501


def called(*words: str | Path, at: Path, **variables: str) -> str:
    """What a program prints, away from this folder's own `untrained`; ends where it fails."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "UNTRAINED_DATA")}
    done = subprocess.run(
        [*map(str, words)],
        cwd=at,
        env={**kept, **variables},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nexit code {done.returncode}: {' '.join(map(str, words))}")
    return done.stdout


def python(*words: str | Path, at: Path, **variables: str) -> str:
    return called(sys.executable, *words, at=at, **variables)


def built(source: Path, folder: Path) -> tuple[Path, Path]:
    """The wheel, built from the sdist, and the sdist."""
    python("-m", "build", "--outdir", folder, source, at=source)
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    python("-m", "twine", "check", "--strict", wheel, sdist, at=source)
    return wheel, sdist


def known_to_git(*paths: str) -> set[str]:
    return set(called("git", "ls-files", *paths, at=ROOT).splitlines())


def check_files(wheel: Path, sdist: Path) -> None:
    """The wheel has every file of the package and no other; the sdist what a build needs."""
    with ZipFile(wheel) as file:
        held = {name for name in file.namelist() if ".dist-info/" not in name}
    expect_equal("files of the wheel", held, known_to_git("untrained"))
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if "/" in name}
    made = {"PKG-INFO", "setup.cfg"}
    held = {n for n in names - made if ".egg-info" not in n}
    left_out = ("results/", ".ci/", ".git")
    known = {n for n in known_to_git() if not n.startswith((*left_out, ".pre-commit"))}
    folders = {str(parent) for name in known for parent in Path(name).parents}
    expect_equal("files of the sdist", held - folders, known)


def expect_equal(what: str, found: set[str], expected: set[str]) -> None:
    if found != expected:
        missing, foreign = sorted(expected - found), sorted(found - expected)
        sys.exit(f"{what}: missing {missing}, not ours {foreign}")


def version_at(folder: Path) -> str:
    return python("-m", "setuptools_scm", "--root", folder, at=folder).splitlines()[-1].strip()


def check_versions(scratch: Path) -> None:
    """Of a tag; of a clone without tags; and of a copy without git, as in a container."""
    clone, copy = scratch / "clone", scratch / "copy"
    called("git", "clone", "--quiet", "--no-tags", ROOT, clone, at=scratch)
    shutil.copytree(clone, copy, ignore=shutil.ignore_patterns(".git", "results", "docs"))
    settings = tomllib.loads((copy / "pyproject.toml").read_text())
    least = settings["tool"]["setuptools_scm"]["fallback_version"]
    expect("a copy without git", version_at(copy), least)
    if Version(version_at(clone)) <= Version(least):
        sys.exit(f"a clone without tags: expected more than {least}, got {version_at(clone)}")
    called("git", "tag", "v7.8.9", at=clone)
    expect("a tagged clone", version_at(clone), "7.8.9")


def expect(what: str, found: str, expected: str) -> None:
    if found != expected:
        sys.exit(f"{what}: expected {expected}, got {found}")


def installed(wheel: Path, scratch: Path) -> Path:
    """The folder of programs of an empty environment with the wheel."""
    python("-m", "venv", scratch / "environment", at=scratch)
    programs = scratch / "environment" / "bin"
    pip(programs, "--constraint", PINNED, f"{wheel}[serve]")  # whose names are imported too
    return programs


def pip(programs: Path, *words: str | Path) -> None:
    quiet = ("--quiet", "--disable-pip-version-check")
    called(programs / "python", "-m", "pip", "install", *quiet, *words, at=programs)


def check_use(programs: Path, version: str, scratch: Path) -> None:
    """The command and every public name; the examples, in a folder of their own."""
    expect("--version", called(programs / "untrained", "--version", at=scratch).strip(), version)
    called(programs / "python", "-c", EVERY_NAME, at=scratch)
    examples = scratch / "examples"
    shutil.copytree(ROOT / "examples", examples, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("kernels.py", "every_name.py"):
        called(programs / "python", name, at=examples)
    shutil.rmtree(examples / "every-name")  # whose exported networks are no example


def check_types(programs: Path, scratch: Path) -> None:
    """What a user's editor says of the examples, at its strictest."""
    (scratch / "examples" / "pyrightconfig.json").write_text(STRICT)
    chosen = ("--python-executable", programs / "python")
    python("-m", "mypy", "--strict", *chosen, ".", at=scratch / "examples")
    chosen = ("--pythonpath", programs / "python")
    python("-m", "basedpyright", *chosen, at=scratch / "examples")


def files_of(programs: Path) -> set[str]:
    [package] = programs.parent.glob("lib/python*/site-packages/untrained")
    return {str(p.relative_to(package)) for p in package.rglob("*") if p.suffix != ".pyc"}


def check_sdist(programs: Path, sdist: Path, version: str, scratch: Path) -> None:
    """Installed in the wheel's place it gives the same files, and the same version."""
    before = files_of(programs)
    pip(programs, "--no-deps", "--force-reinstall", sdist)
    expect_equal("files installed from the sdist", files_of(programs), before)
    expect("--version", called(programs / "untrained", "--version", at=scratch).strip(), version)


def check(out: Path, scratch: Path, pages: Sequence[str]) -> None:
    shutil.rmtree(out, ignore_errors=True)
    wheel, sdist = built(ROOT, out)
    version = wheel.name.split("-")[1]
    print(f"built {wheel.name}, {wheel.stat().st_size:,} bytes")
    check_files(wheel, sdist)
    check_versions(scratch)
    print("files and versions are right")
    programs = installed(wheel, scratch)
    check_use(programs, version, scratch)
    print("works in an empty environment")
    check_types(programs, scratch)
    print("types are complete")
    for page in pages:
        tutorials.follow(ROOT / "docs" / "tutorials" / f"{page}.md", programs, scratch / page)
        print(f"the tutorial {page} runs")
    check_sdist(programs, sdist, version, scratch)
    print("the sdist gives the same")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="for wheel and sdist")
    parser.add_argument("--tutorials", nargs="*", default=(), help="to follow with what is built")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        check(asked.out.resolve(), Path(scratch), asked.tutorials)


if __name__ == "__main__":
    main()
