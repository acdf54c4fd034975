"""What a page holds compressed and its script unpacks: plotly.js, and the figures."""

import base64
import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

PLOTLY = Path(__file__).parent / "plotly.js.gz"
"""The bundle `plotly.js-cartesian-dist-min`; `make plotly` fetches it, with the licence beside
it. It is plotly.js with all that has axes x and y, a third of the whole."""


@cache
def plotly_js() -> Markup:
    """plotly.js, as `unpacked` and the page's script read it."""
    return _text(PLOTLY.read_bytes())


def packed(figure: go.Figure) -> Markup:
    """A figure as JSON, compressed, in letters that HTML leaves as they are."""
    shown = json.dumps(_rounded(figure.to_plotly_json()), separators=(",", ":"))
    return _text(gzip.compress(shown.encode(), mtime=0))


def unpacked(text: str) -> Any:
    """What `packed` has packed."""
    return json.loads(gzip.decompress(base64.b64decode(text)))


def _rounded(value: Any) -> Any:
    """The figure with as many digits of each number as anybody sees of a point's place."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value


def _text(compressed: bytes) -> Markup:
    return Markup(base64.b64encode(compressed).decode())
