"""How many functions of the library lie between a call and what it is for, on five journeys.

    python benchmarks/hops.py

Counted on the stack, when the end of the journey is first reached: functions written in this
package, the end itself included; comprehensions and what other libraries do between them are not.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

import untrained

PACKAGE = str(Path(untrained.__file__).parent)
SHORT = ("--training.epochs", "1", "--training.images", "64", "--probe", "16", "--held-out", "16")
CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"


def hops(journey: Callable[[], Any], end: str) -> int:
    """Functions on the stack when one called `end` is first entered."""
    found: list[int] = []

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and not found and frame.f_code.co_name == end and _ours(frame):
            found.append(sum(_ours(each) for each in _stack(frame)))

    sys.setprofile(watch)
    try:
        journey()
    except SystemExit:
        pass
    finally:
        sys.setprofile(None)
    return found[0]


def _stack(frame: FrameType | None) -> list[FrameType]:
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found


def _ours(frame: FrameType) -> bool:
    code = frame.f_code
    return code.co_filename.startswith(PACKAGE) and not code.co_name.startswith("<")


def command(*words: str) -> Callable[[], None]:
    """The command, in this process."""

    def call() -> None:
        from untrained.cli import main

        sys.argv = ["untrained", *words]
        main()

    return call


def main() -> None:
    """Prints the table."""
    from untrained import ntk
    from untrained.images import load_images
    from untrained.images.probe import ProbeSpec, draw_probe

    def kernel() -> None:
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(16, 2)
        )
        ntk(net, torch.randn(4, 3, 4, 4))

    with TemporaryDirectory() as folder:
        for kind in "ab":
            for k in range(12):
                path = Path(folder) / "pictures" / kind / f"{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.random.default_rng([ord(kind), k]).integers(
                    0, 255, (8, 8, 3), dtype=np.uint8
                )
                Image.fromarray(pixels).save(path)

        def probe() -> None:
            images = load_images(str(Path(folder) / "pictures"), size=8)
            draw_probe(images, ProbeSpec(count=4), torch.Generator().manual_seed(0))

        few = ("--workers", "0", "--out", f"{folder}/runs")
        scored = command("score", CELL, "--draws", "1", *few)
        journeys = {
            "command to kappa": (scored, "condition_number"),
            "ntk to the sum": (kernel, "accumulate"),
            "a score's number to the page": (scored, "draw_curve"),
            "track to a point on a curve": (
                command("track", CELL, "--scale", "small", "--out", f"{folder}/runs", *SHORT),
                "relative_change",
            ),
            "a picture in a folder to a probe": (probe, "draw_probe"),
        }
        table = Table("journey", "hops")
        for name, (journey, end) in journeys.items():
            table.add_row(name, str(hops(journey, end)))
    Console().print(table)


if __name__ == "__main__":
    main()
