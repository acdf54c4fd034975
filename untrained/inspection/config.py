"""What an inspection is asked, in one frozen value, from flags or TOML."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from untrained.locations import Location
from untrained.outside import command_line
from untrained.runs.config import LARGEST_SEED, check_device, check_images
from untrained.settings import check_range, checked
from untrained.urls import URL


@dataclass(frozen=True)
class InspectConfig:
    """One network, inspected before its training."""

    space: str = "nasbench201"
    "Space of an architecture: a name, or package.module:name."
    scale: str = "full"
    "Scale at which an architecture is built: `full` (as published), `narrow` or `small`."
    images: str = "digits"
    "`digits`, `shapes` (built in), a file, a folder, or a name such as `cifar10`: docs/data.md."
    size: int | None = None
    "Side in pixels to which images are resized; by default their own, or 32 for a folder."
    probe: int = 64
    "Training images that the network is shown, as one batch; all where there are fewer."
    pixels: Literal["normalised", "unit", "bytes"] = "normalised"
    "Values that the network is shown: mean 0 and variance 1, from 0 to 1, or from 0 to 255."
    seed: int = 0
    "Seed of initial weights, splits, choice of images and random directions."
    device: str = "cpu"
    "`cpu`, `cuda`, `cuda:1`."
    out: Location = Path("untrained-runs")
    "Folder of the page; or a URL, such as s3://bucket/runs."

    def check(self) -> "InspectConfig":
        """Itself, each value of its type, or ValueError for one that makes no sense."""
        found = checked(self)
        if found.size is not None:
            check_range("size", found.size, 1)
        check_range("probe", found.probe, 2)
        check_range("seed", found.seed, 0, LARGEST_SEED)
        check_images(found.images)
        check_device(found.device)
        if isinstance(found.out, URL):
            found.out.check_library()
        return found

    def command(self, model: str) -> str:
        """The command line that asks for it: flags that are not at their defaults."""
        usual = asdict(InspectConfig())
        asked = {name: value for name, value in asdict(self).items() if usual[name] != value}
        flags = [part for name, value in asked.items() for part in (f"--{name}", str(value))]
        return command_line("untrained", "inspect", model, *flags)
