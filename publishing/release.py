"""Prepares a release, and tags it where everything is right: `make release VERSION=0.2.0`.

1. The working tree is clean, on `main`, and the version new and later than the last one.
2. `CHANGELOG.md` has a section `## VERSION`, and nothing is under `## Unreleased`.
3. Who publishes it is known (`OWNER` was replaced in all addresses), and `CITATION.cff` names the
   version.
4. `make test` and `make package` pass; wheel and sdist of the tag lie in `dist`, checked by twine.

Nothing leaves this machine: the tag is not pushed. `--upload` alone uploads what lies in `dist`.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[1]
ADDRESSED = ("pyproject.toml", "CITATION.cff", "mkdocs.yml", ".github/ISSUE_TEMPLATE/config.yml")
PLACEHOLDER = re.compile(r"OWNER[./]")


def output(*words: str) -> str:
    return subprocess.run(
        words, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def problems_of_version(version: str, tags: list[str]) -> list[str]:
    """What speaks against its number."""
    try:
        number = Version(version)
    except InvalidVersion:
        return [f"version: expected one such as 0.2.0, got {version!r}"]
    known = [Version(tag.removeprefix("v")) for tag in tags]
    if known and number <= max(known):
        return [f"version: expected more than the last, {max(known)}, got {version}"]
    return []


def problems_of_changelog(text: str, version: str) -> list[str]:
    """Whether users can read what they must change."""
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    found = []
    if not sections.get(version, "").strip():
        found.append(f"CHANGELOG.md: expected a section '## {version}', got {list(sections)}")
    if sections.get("Unreleased", "").strip():
        found.append(f"CHANGELOG.md: something is still Unreleased; move it to '## {version}'")
    return found


def problems_of_addresses(files: dict[str, str], version: str) -> list[str]:
    """Whether the project says where it lives, and the citation which version it is."""
    found = [f"{name}: write who publishes it for OWNER" for name in unnamed(files)]
    if f"\nversion: {version}\n" not in files["CITATION.cff"]:
        found.append(f"CITATION.cff: expected the line 'version: {version}'")
    return found


def unnamed(files: dict[str, str]) -> list[str]:
    return [name for name, text in files.items() if PLACEHOLDER.search(text)]


def problems(version: str) -> list[str]:
    found = []
    if changed := output("git", "status", "--porcelain"):
        found.append(f"working tree: expected a clean one, got\n{changed}")
    if (branch := output("git", "branch", "--show-current")) != "main":
        found.append(f"branch: expected main, got {branch}")
    found += problems_of_version(version, output("git", "tag", "--list", "v*").split())
    found += problems_of_changelog((ROOT / "CHANGELOG.md").read_text(), version)
    return found + problems_of_addresses({n: (ROOT / n).read_text() for n in ADDRESSED}, version)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("version", help="such as 0.2.0")
    parser.add_argument("--check", action="store_true", help="say what is missing, and end")
    parser.add_argument(
        "--upload", action="store_true", help="upload dist to the registry by twine"
    )
    asked = parser.parse_args()
    if found := problems(asked.version):
        sys.exit("\n".join(found))
    if asked.check:
        return
    tag = f"v{asked.version}"
    subprocess.run(["make", "test"], cwd=ROOT, check=True)
    subprocess.run(["git", "tag", "--annotate", tag, "--message", tag], cwd=ROOT, check=True)
    if subprocess.run(["make", "package"], cwd=ROOT, check=False).returncode:
        subprocess.run(["git", "tag", "--delete", tag], cwd=ROOT, check=True)
        sys.exit(f"{tag} was not kept: make package failed")
    files = sorted(map(str, (ROOT / "dist").iterdir()))
    print(f"tagged {tag}, which is not pushed; in dist: {', '.join(files)}")
    if asked.upload:
        subprocess.run([sys.executable, "-m", "twine", "upload", *files], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
