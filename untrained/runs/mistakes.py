"""Test images that a trained network is most confidently wrong about, as small pictures."""

import base64
import json
from dataclasses import asdict, dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from untrained.files import write_whole
from untrained.images import Images
from untrained.locations import Location
from untrained.runs.thumbnails import png, thumbnail

MISTAKES = "mistakes.json"
"The file of a run's folder that holds them."
MOST = 18
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Mistake:
    """One image of the test split."""

    true: int
    "Its class."
    predicted: int
    "The class that the network gives it."
    probability: float
    "That the network gives it with: softmax of its logits."
    png: str
    "The picture in base64."


@torch.no_grad()
def mistakes_of(
    network: nn.Module, images: Images, *, most: int = MOST, device: str = "cpu"
) -> list[Mistake]:
    """The mistakes on the test split, those with the highest probability first.

    Args:
        network: trained; it is left in evaluation mode.
        images: what it was trained on.
        most: how many are given.
        device: where to compute.
    """
    network.to(device).eval()
    logits = [
        network(images.normalise(pixels.to(device))).double().cpu()
        for pixels in images.test.batches()
    ]
    probabilities, predicted = torch.cat(logits).softmax(1).max(1)
    wrong = (predicted != images.test.labels).nonzero().flatten()
    worst = wrong[probabilities[wrong].argsort(descending=True, stable=True)][:most]
    return [
        Mistake(int(true), int(guess), float(share), _picture(pixels))
        for true, guess, share, pixels in zip(
            images.test.labels[worst],
            predicted[worst],
            probabilities[worst],
            images.test.at(worst),
            strict=True,
        )
    ]


def _picture(pixels: UInt8[Tensor, "c h w"]) -> str:
    return base64.b64encode(png(thumbnail(pixels))).decode()


def write_mistakes(folder: Location, mistakes: list[Mistake]) -> None:
    """Writes the file of a run's folder."""
    write_whole(folder / MISTAKES, json.dumps([asdict(each) for each in mistakes]).encode())


def read_mistakes(folder: Location, classes: int) -> tuple[Mistake, ...]:
    """What the file of a run's folder holds; nothing where there is none, or it is damaged.

    Args:
        folder: the run's.
        classes: how many there are.
    """
    try:
        found = tuple(Mistake(**each) for each in json.loads((folder / MISTAKES).read_bytes()))
        whole = all(_is_whole(each, classes) for each in found)
    except (OSError, ValueError, TypeError):
        return ()
    return found if whole else ()


def _is_whole(mistake: Mistake, classes: int) -> bool:
    named = all(
        type(label) is int and 0 <= label < classes for label in (mistake.true, mistake.predicted)
    )
    is_share = isinstance(mistake.probability, float) and 0 <= mistake.probability <= 1
    return named and is_share and base64.b64decode(mistake.png, validate=True).startswith(PNG)
