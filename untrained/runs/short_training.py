"""A few epochs before a score."""

from dataclasses import dataclass, fields, replace

from untrained.scores import Score
from untrained.settings import Setting, changed, counted
from untrained.training import Recipe, TrainingSpec, get_recipe, steady
from untrained.training.recipe import check_recipe


@dataclass(frozen=True)
class ShortTraining:
    """A few epochs before a score."""

    recipe: Recipe
    "Its epochs come before the score."
    images: int | None = None
    "Training images, drawn anew on each draw; None means all."

    @property
    def shared(self) -> "ShortTraining":
        """What longer and shorter ones share: under a steady recipe, all but epochs."""
        return self.lasting(1) if steady(self.recipe) else self

    def lasting(self, epochs: int) -> "ShortTraining":
        """The same for so many epochs."""
        return replace(self, recipe=replace(self.recipe, epochs=epochs))


SHORT_TRAINING = tuple(f.name for f in fields(TrainingSpec) if f.name != "epochs")
"Settings of the training before a score, beside `epochs`."


def take_short_training(
    name: str, kind: type[Score], left: dict[str, Setting], common: TrainingSpec
) -> ShortTraining | None:
    """The training that comes first, taken out of the settings; None for none.

    Args:
        name: the score's, for errors.
        kind: it asks for so many epochs of a named recipe, unless a setting says otherwise.
        left: the score's settings; those of training are removed.
        common: what is asked for all scores that train first; per-score settings take precedence.

    Raises:
        ValueError: a recipe that is not there, or settings that make no sense.
    """
    usual = kind.epochs  # a score at initialisation is none of those that train
    if usual and common.epochs is not None:
        usual = common.epochs
    epochs = counted(int, left.pop("epochs", usual), f"{name}.epochs", least=0)
    asked = {setting: left.pop(setting) for setting in SHORT_TRAINING if setting in left}
    if epochs == 0:
        if asked:
            raise ValueError(
                f"{name}.{next(iter(asked))}: expected no setting of training for a score at "
                f"initialisation, got {next(iter(asked.values()))!r}; set epochs too"
            )
        return None
    spec = replace(changed(TrainingSpec(), asked, name).over(common), epochs=epochs)
    recipe = spec.altered(get_recipe(kind.recipe if spec.recipe is None else spec.recipe))
    check_recipe(recipe)
    return ShortTraining(recipe, spec.images)
