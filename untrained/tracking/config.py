"""A tracking asked for in one frozen value, from flags or TOML."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from untrained.locations import Location
from untrained.networks.choices import Named, Policy
from untrained.outside import command_line
from untrained.runs.config import (
    LARGEST_SEED,
    check_device,
    check_images,
    concrete_device,
    resolve_training,
)
from untrained.settings import check_range, checked
from untrained.training.recipe import AUTO, Recipe, TrainingSpec, check_recipe
from untrained.urls import URL


@dataclass(frozen=True)
class Tracking:
    """What is measured of a kernel in training, and when."""

    every: int = 1
    "Epochs from one snapshot to the next; initialisation and the last epoch always have one."
    probe: int = 128
    "Validation images of the kernel, fixed once; all of them where there are fewer."
    support: int = 256
    "Training images that NTK regression learns from, fixed once; 0 leaves it out."
    held_out: int = 256
    "Validation images on which network and regression are compared, fixed once."
    output: Literal["sum", "trace"] = "sum"
    "The kernel of summed logits, or the sum of the kernels of each; see `ntk`."
    parameters: Named = "weights"
    "The kernel's parameters: `weights`, `weights_below_head` or `all`; see `ntk`."
    batchnorm: Policy = "frozen"
    "The kernel's BatchNorm: statistics of the images shown, held constant; see `ntk`."
    layers: int = 16
    """Layers of which the share of the kernel is followed, or groups of neighbours in a network of
    more; each is a kernel in memory. 0 leaves them out."""


@dataclass(frozen=True)
class TrackConfig:
    """One network, followed through its training."""

    network: str | None = None
    """module:name of a network of your own, as `untrained rank` takes it, instead of an
    architecture: a function or class, called with `inputs` (channels), `size` and `classes` where
    it has such parameters; or timm:NAME."""
    space: str = "nasbench201"
    "Space of the architecture: a name, or package.module:name."
    scale: str = "narrow"
    "Scale at which the architecture is built: `full` (as published), `narrow` or `small`."
    images: str = "digits"
    "`digits`, `shapes` (built in), a file, a folder, or a name such as `cifar10`: docs/data.md."
    size: int | None = None
    "Side in pixels to which images are resized; by default their own, or 32 for a folder."
    training: TrainingSpec = field(default_factory=TrainingSpec)
    "Training of the network, such as `--training.epochs 12`."
    probe: int = Tracking.probe
    "Validation images that the kernel is computed on, the same at every snapshot."
    support: int = Tracking.support
    "Training images that NTK regression learns from; 0 leaves it out."
    held_out: int = Tracking.held_out
    "Validation images on which network and NTK regression are compared."
    every: int = Tracking.every
    "Epochs from one snapshot to the next."
    output: Literal["sum", "trace"] = Tracking.output
    "`sum`: the kernel of the summed logits; `trace`: the sum of their kernels, which is slower."
    parameters: Named = Tracking.parameters
    "Parameters that count in the kernel: `weights`, `weights_below_head` (as in LGA) or `all`."
    batchnorm: Policy = Tracking.batchnorm
    "The kernel's BatchNorm: `frozen` (statistics of the images shown), `batch` or `running`."
    layers: int = Tracking.layers
    "Layers whose part of the kernel is followed, or groups of layers if there are more; 0: none."
    seed: int = 0
    "Seed of initial weights, splits, choice of images and training."
    device: str = "cpu"
    "`cpu`, `cuda`, `cuda:1`, or `auto`: `cuda` where there is one, otherwise `cpu`."
    out: Location = Path("untrained-runs")
    "Folder in which the tracking makes a folder of its own; or a URL, such as s3://bucket/runs."

    @property
    def tracking(self) -> Tracking:
        """What is measured, and when."""
        return Tracking(
            every=self.every,
            probe=self.probe,
            support=self.support,
            held_out=self.held_out,
            output=self.output,
            parameters=self.parameters,
            batchnorm=self.batchnorm,
            layers=self.layers,
        )

    @property
    def recipe(self) -> Recipe:
        """The named recipe with what is asked otherwise.

        Raises:
            ValueError: a recipe that is not there or cannot be trained with, or `auto`.
        """
        if self.training.recipe == AUTO:
            raise ValueError(
                "training.recipe: expected a recipe by name for a network that is tracked, got "
                "'auto'; try default"
            )
        recipe = resolve_training(self.training).altered(Recipe())
        check_recipe(recipe)
        return recipe

    def resolved(self) -> "TrackConfig":
        """The same with every choice of its recipe.

        Raises:
            ValueError: as `check`.
        """
        return replace(self.check(), training=resolve_training(self.training))

    def check(self) -> "TrackConfig":
        """Itself, each value of its type and the device a concrete one.

        Raises:
            ValueError: a value that makes no sense.
        """
        found = checked(self)
        found = replace(found, device=concrete_device(found.device))
        for name, value, least in (
            ("size", found.size, 1),
            ("training.images", found.training.images, 2),
        ):
            if value is not None:
                check_range(name, value, least)
        check_range("seed", found.seed, 0, LARGEST_SEED)
        _ = found.recipe  # which refuses what cannot be trained with
        check_tracking(found.tracking)
        check_images(found.images)
        check_device(found.device)
        if isinstance(found.out, URL):
            found.out.check_library()
        return found


def check_tracking(spec: Tracking) -> None:
    """Raise ValueError at the first value of a wrong type or that makes no sense."""
    checked(spec)
    for name, least in (
        ("every", 1),
        ("probe", 2),
        ("support", 0),
        ("held_out", 1),
        ("layers", 0),
    ):
        check_range(name, getattr(spec, name), least)


def as_plain(config: TrackConfig) -> dict[str, str]:
    """What is asked, flag by flag; what is left open is left out."""
    whole = asdict(config)
    training = whole.pop("training")
    nested = {f"training.{name}": value for name, value in training.items()}
    return {name: str(value) for name, value in (whole | nested).items() if value is not None}


def command_of(config: TrackConfig, architecture: str | None) -> str:
    """The command line that asks for it: flags that are not at their defaults."""
    usual = as_plain(TrackConfig())
    asked = {name: value for name, value in as_plain(config).items() if usual.get(name) != value}
    flags = [part for name in asked for part in (f"--{name.replace('_', '-')}", asked[name])]
    return command_line("untrained", "track", *([architecture] if architecture else []), *flags)
