"""Our docstrings as the site's reader of docstrings expects them: `griffe` calls this."""

from typing import Any

import griffe


class OneExample(griffe.Extension):  # type: ignore[misc]
    """Google's dialect knows `Examples:` alone."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
