"""A little training before a score looks."""

from dataclasses import dataclass, replace

import torch

from untrained.images import Images, Labelled
from untrained.settings import Setting, changed, typed
from untrained.training import Recipe, get_recipe
from untrained.training.recipe import check_recipe


@dataclass(frozen=True)
class Schooling:
    """A little training before a score looks."""

    recipe: Recipe
    images: int | None = None
    "Training images, drawn anew on each draw; None means all."

    def school(self, images: Images, generator: torch.Generator) -> Images:
        """The images to train on."""
        if self.images is None or self.images >= len(images.train):
            return images
        rows = torch.randperm(len(images.train), generator=generator)[: self.images]
        train = Labelled(images.train.pixels[rows], images.train.labels[rows])
        return replace(images, train=train)


SCHOOLING = ("recipe", "images", "batch", "learning_rate")
"Settings of the training before a score, beside `epochs`."


def take_schooling(name: str, epochs: int, left: dict[str, Setting]) -> Schooling | None:
    """The training that comes first, taken out of the settings; None for none.

    Args:
        name: the score's, for errors.
        epochs: what it asks for unless a setting says otherwise.
        left: the score's settings; those of training are removed.

    Raises:
        ValueError: a recipe that is not there, or settings that make no sense.
    """
    asked_epochs = left.pop("epochs", epochs)
    asked = {setting: left.pop(setting) for setting in SCHOOLING if setting in left}
    if asked_epochs == 0:
        if asked:
            raise ValueError(
                f"{name}.{next(iter(asked))}: expected no setting of training for a score that "
                f"looks at initialisation, got {next(iter(asked.values()))!r}; set epochs too"
            )
        return None
    recipe = changed(
        get_recipe(str(asked.pop("recipe", "default"))),
        {"epochs": asked_epochs, **{s: v for s, v in asked.items() if s != "images"}},
        name,
    )
    check_recipe(recipe)
    images = asked.get("images")
    if images is not None:
        images = typed(int, images, f"{name}.images")
    assert images is None or isinstance(images, int)
    return Schooling(recipe, images)
