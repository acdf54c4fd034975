"""The model card of an exported network: what it is, how good, how trained, how to use it."""

import json
import re
from collections.abc import Set
from dataclasses import dataclass
from importlib.metadata import version

import torch
from torch import Tensor

from untrained.images.dataset import Images
from untrained.training.evaluation import Evaluation
from untrained.training.loader import LOADER, PICTURES, readable, template
from untrained.training.recipe import Recipe, flips

CARD = "MODEL_CARD.md"
TEMPLATE = "model_card.md.j2"
MOST_CLASSES = 20
"Classes whose accuracy is listed; of more, the worst."


@dataclass(frozen=True)
class Origin:
    """Where a network comes from."""

    name: str
    "Of the run, on one line."
    architecture: str
    "Text form, or what else names it."
    recipe: Recipe | None = None
    "What it was trained with; None where that is not told."
    trained_on: int | None = None
    "Training images; None for all."
    best_epoch: int | None = None
    "The epoch whose weights were kept."


@dataclass(frozen=True)
class Tested:
    """Accuracy on the test images, and how sure it is."""

    count: int
    accuracy: float
    low: float
    "Lower end of the 95 % confidence interval (Wilson)."
    high: float
    base: float
    "Accuracy of always answering with the class that has the most test images."
    classes: tuple[tuple[str, int, float], ...]
    "Name, test images and accuracy of each class, the worst first."
    confused: tuple[str, str, int] | None
    "True class, predicted class and images of the most frequent error; None without any."


def model_card(
    images: Images, origin: Origin, evaluation: Evaluation | None, parameters: int, files: Set[str]
) -> str:
    """The text of `MODEL_CARD.md`, with front matter as the Hugging Face hub reads it.

    Args:
        images: what it was trained on.
        origin: what it is and how it was trained.
        evaluation: of the exported files on the test images; None if there are none.
        parameters: how many it has.
        files: names of the files beside the card.
    """
    return template(TEMPLATE).render(
        images=images,
        origin=origin,
        found=evaluation and tested(evaluation, images.classes),
        parameters=parameters,
        files=files,
        recipe=origin.recipe
        and {**vars(origin.recipe), "flip": flips(origin.recipe, images.shape[0])},
        escape=escape,
        quoted=json.dumps,
        base_rate=_share_of_largest(images.train.labels),
        most=MOST_CLASSES,
        module=LOADER.removesuffix(".py"),
        example="picture.png" if images.shape[0] in PICTURES else "array.npy",
        version=version("untrained"),
        torch=torch.__version__,
    )


def tested(evaluation: Evaluation, classes: tuple[str, ...]) -> Tested:
    """What the confusion matrix of the test images says.

    Source:
        Wilson 1927, Probable Inference, the Law of Succession, and Statistical Inference.
    """
    from scipy.stats import binomtest  # here, because importing it takes a while

    confusion = torch.tensor(evaluation.confusion)
    count, hits = int(confusion.sum()), confusion.diagonal()
    interval = binomtest(int(hits.sum()), count).proportion_ci(method="wilson")
    rows = confusion.sum(1)
    each = [
        (name, int(n), float(hit / n))
        for name, n, hit in zip(classes, rows, hits, strict=True)
        if n
    ]
    return Tested(
        count,
        float(hits.sum() / count),
        float(interval.low),
        float(interval.high),
        float(rows.max() / count),
        tuple(sorted(each, key=lambda one: one[2])),
        most_confused(confusion, classes),
    )


def most_confused(confusion: Tensor, classes: tuple[str, ...]) -> tuple[str, str, int] | None:
    """The pair of classes with the most errors: the true one, the predicted one, how many."""
    errors = confusion - confusion.diagonal().diag()
    true, predicted = divmod(int(errors.argmax()), len(classes))
    most = int(errors[true, predicted])
    return (classes[true], classes[predicted], most) if most else None


def escape(text: str) -> str:
    r"""Text that Markdown shows as it is, on one line.

    Example:
        >>> print(escape("<b>a_b|c</b>\n"))
        \<b\>a\_b\|c\</b\>
    """
    return re.sub(r"([\\`*_{}\[\]<>#|&~$])", r"\\\1", readable(text))


def _share_of_largest(labels: Tensor) -> float:
    return float(labels.bincount().max() / len(labels))
