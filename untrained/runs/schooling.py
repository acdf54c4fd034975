"""A little training before a score looks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from untrained.images import Images
from untrained.scores import Score
from untrained.settings import Setting, changed, counted, typed
from untrained.training import Recipe, get_recipe, steady
from untrained.training.recipe import check_recipe


@dataclass(frozen=True)
class Schooling:
    """A little training before a score looks."""

    recipe: Recipe
    "Its epochs come before the score."
    images: int | None = None
    "Training images, drawn anew on each draw; None means all."

    @property
    def course(self) -> "Schooling":
        """What it shares with longer and shorter ones: under a steady recipe all but epochs."""
        return self.lasting(1) if steady(self.recipe) else self

    def lasting(self, epochs: int) -> "Schooling":
        """The same for so many epochs."""
        return replace(self, recipe=replace(self.recipe, epochs=epochs))

    def lesson(self, images: Images, generator: torch.Generator) -> Images:
        """The images to train on."""
        if self.images is None or self.images >= len(images.train):
            return images
        return replace(images, train=images.train.some(self.images, generator))


SCHOOLING = ("recipe", "images", "batch", "learning_rate")
"Settings of the training before a score, beside `epochs`."


def take_schooling(
    name: str, kind: type[Score], left: dict[str, Setting], common: Mapping[str, Setting]
) -> Schooling | None:
    """The training that comes first, taken out of the settings; None for none.

    Args:
        name: the score's, for errors.
        kind: it asks for so many epochs of a named recipe, unless a setting says otherwise.
        left: the score's settings; those of training are removed.
        common: settings of training for all scores that train first; its own come before them.

    Raises:
        ValueError: a recipe that is not there, or settings that make no sense.
    """
    epochs = counted(int, left.pop("epochs", kind.epochs), f"{name}.epochs", least=0)
    asked = {setting: left.pop(setting) for setting in SCHOOLING if setting in left}
    if epochs == 0:
        if asked:
            raise ValueError(
                f"{name}.{next(iter(asked))}: expected no setting of training for a score that "
                f"looks at initialisation, got {next(iter(asked.values()))!r}; set epochs too"
            )
        return None
    asked = {**common, **asked}
    images = counted(int | None, asked.pop("images", None), f"{name}.images")
    named = typed(str, asked.pop("recipe", kind.recipe), f"{name}.recipe")
    recipe = changed(get_recipe(named), {"epochs": epochs, **asked}, name)
    check_recipe(recipe)
    return Schooling(recipe, images)
