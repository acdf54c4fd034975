"""Our docstrings as the site's reader of docstrings expects them: `griffe` calls this."""

from typing import Any

import griffe


class AsMarkdown(griffe.Extension):  # type: ignore[misc]
    """Google's dialect knows `Examples:` alone, and Markdown takes <a, b> for a tag."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            text = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
            obj.docstring.value = "\n".join(map(without_tags, text.splitlines()))


def without_tags(line: str) -> str:
    """An inner product in a sentence; in code and doctests it stays as it is."""
    return line if line.startswith((" ", ">>>")) or "`" in line else line.replace("<", "&lt;")
