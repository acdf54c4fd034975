"""What mkdocs asks while it builds the site: see `hooks` in `mkdocs.yml`."""

import re
from pathlib import Path

import notebook
import reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocstrings import Inventory

ROOT = Path(__file__).parents[1]
OUTSIDE = re.compile(r"\]\(\.\./((?:\.\./)*)([^)\s#]+)")
"A link to a file of the repository that is no page."


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of the reference, and that of the notebook."""
    made = {**reference.pages(), "tutorials/notebook.md": notebook.page(notebook.executed())}
    for address, text in made.items():
        files.append(File.generated(config, address, content=text))
    return files


def on_page_markdown(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files beside `docs` lead to the repository; they must be there."""

    def outside(found: re.Match[str]) -> str:
        inside = (ROOT / "docs" / page.file.src_uri).parent / f"../{found[1]}{found[2]}"
        target = inside.resolve()
        if target.is_relative_to(ROOT / "docs"):
            return found[0]
        if not target.exists():
            raise PluginError(f"{page.file.src_uri}: no file {found[2]}")
        return f"]({config.extra['repository']}/blob/main/{target.relative_to(ROOT)}"

    return OUTSIDE.sub(outside, text)


def on_post_build(config: MkDocsConfig) -> None:
    """Every public name is in the inventory, by which other sites link to it."""
    with (Path(config.site_dir) / "objects.inv").open("rb") as file:
        known = set(Inventory.parse_sphinx(file))
    if missing := sorted(reference.entries() - known):
        raise PluginError(f"public names without an entry: {', '.join(missing)}")
