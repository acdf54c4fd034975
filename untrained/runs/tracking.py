"""How the NTK of one network moves while the network is trained.

The probe is drawn once. Published trackings draw a new batch for each look, which mixes the noise
of the images with the movement of the kernel.

Source: Mok et al., "Demystifying the Neural Tangent Kernel from a Practical Perspective", CVPR
2022, https://arxiv.org/abs/2203.14577, and its code, for alignment, correlation and change.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from untrained.files import write_whole
from untrained.images import Images
from untrained.runs.code import code_version, modules_of
from untrained.runs.config import digest
from untrained.runs.moments import Earlier, Moment, Tracking, Views, draw_views, look
from untrained.runs.snapshots import MOMENTS, UNREADABLE, Snapshot, read_snapshots, write_snapshot
from untrained.runs.tasks import stream
from untrained.training import Epoch, Recipe, check_fits, train
from untrained.training.checkpoint import describe, load_checkpoint

logger = logging.getLogger(__name__)

ABOUT = "about.json"
"The file that says what else a track does, beside its looks."
LEFT_OUT = "left out; track again to repeat it, without training.pt if it is not the last"
AGAIN = "give the track command again: it writes this anew and keeps the rest"


@dataclass(frozen=True)
class Track:
    """What the looks at a training gave, from initialisation on."""

    moments: tuple[Moment, ...]
    kernels: Float32[Tensor, "t n n"]
    "Theta_t of each moment, the probe sorted by class."
    labels: Int64[Tensor, " n"]
    "Of the probe, in that order."
    classes: tuple[str, ...]
    support: int
    "Training images that NTK regression learns from."
    held_out: int
    "Validation images on which network and regression are compared."
    failure: str
    "Why training ended early, and what to try; empty if it did not."


def track(
    network: nn.Module,
    images: Images,
    recipe: Recipe,
    spec: Tracking,
    *,
    seed: int = 0,
    folder: Path | None = None,
    on_moment: Callable[[Moment], None] | None = None,
    device: str = "cpu",
) -> Track:
    """Train a network as `train` does, and look at its NTK on a fixed probe along the way.

    The training is that of `train` with the same seed, bit for bit, and the network is left with
    the same weights. Killed anywhere and called again with an equal network and its folder, it
    goes on and gives the same numbers. A training that diverges ends the tracking; what was seen
    before is kept.

    Args:
        network: any network from normalised images to logits, with its initial weights.
        images: trained on `train` and, with the probe, looked at on `validation`; `test` is not
            touched.
        recipe: every choice of the training.
        spec: what is looked at, and when.
        seed: of the training, and of the choice of images.
        folder: where to keep checkpoint, moments (`moments.jsonl`) and kernels
            (`kernels/00000.npy`, float32), for `load_track`; None keeps nothing.
        on_moment: called with each new moment, after it is on the disk.
        device: where to compute.

    Raises:
        ValueError: what does not fit, a folder of another tracking, or one that is damaged.

    Example:
        >>> from untrained.images import load_images
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> found = track(net, load_images("digits"), Recipe(epochs=1), Tracking(support=0))
        >>> [moment.epoch for moment in found.moments]
        [0, 1]
        >>> found.moments[1].change_initial.value  # of a linear network, the kernel cannot move
        0.0
    """
    check_fits(deepcopy(network), images, recipe)
    views = draw_views(images, spec, stream(seed, "tracking"))
    looks = _Looks(network, images, views, spec, device, folder, on_moment)
    checkpoint = None
    if folder is not None:
        _claim(folder, question(network, images, recipe, spec, seed, device))
        looks.go_on(folder)
        checkpoint = folder / "training.pt"
    network.to(device)
    looks.see(None)
    if checkpoint is not None and checkpoint.exists():
        state = load_checkpoint(checkpoint, describe(network, images, recipe, seed))
        if state.epochs:  # cut between the end of an epoch and its look
            initial = deepcopy(network.state_dict())
            network.load_state_dict(state.network)
            looks.see(state.epochs[-1], recipe.epochs)
            network.load_state_dict(initial)
    found = train(
        network,
        images,
        recipe,
        seed=seed,
        checkpoint=checkpoint,
        on_epoch=lambda epoch: looks.see(epoch, recipe.epochs),
        device=device,
    )
    if folder is not None:
        _write_about(folder, looks.track(found.failure))
    return looks.track(found.failure)


@dataclass
class _Looks:
    """The looks at one training so far."""

    network: nn.Module
    images: Images
    views: Views
    spec: Tracking
    device: str
    folder: Path | None
    on_moment: Callable[[Moment], None] | None
    seen: list[Snapshot] = field(default_factory=list)

    def go_on(self, folder: Path) -> None:
        """From what the folder holds of the same tracking, and is not damaged."""
        if (folder / MOMENTS).exists():
            self.seen, damage = read_snapshots(folder, len(self.views.probe))
            for line in damage:
                logger.warning("%s; %s", line, LEFT_OUT)

    def see(self, epoch: Epoch | None, last: int = 0) -> None:
        """Looks after the epoch, if it is due and not yet seen; None is initialisation."""
        number = 0 if epoch is None else epoch.number
        if number % self.spec.every and number != last:
            return
        if number in {kept.moment.epoch for kept in self.seen}:
            return
        before = [kept for kept in self.seen if kept.moment.epoch < number]
        earlier = None
        if before:
            accuracy = before[0].moment.regression_accuracy
            earlier = Earlier(before[0].kernel, before[-1].kernel, accuracy)
        new = Snapshot(
            *look(self.network, self.images, self.views, self.spec, epoch, earlier, self.device)
        )
        self.seen.insert(len(before), new)
        if self.folder is not None:
            _write_about(self.folder, self.track())
            write_snapshot(self.folder, self.seen, new)
        if self.on_moment is not None:
            self.on_moment(new.moment)

    def track(self, failure: str = "") -> Track:
        """What they gave."""
        return Track(
            tuple(kept.moment for kept in self.seen),
            torch.stack([kept.kernel for kept in self.seen]),
            self.views.probe.labels,
            self.images.classes,
            len(self.views.support),
            len(self.views.held_out),
            failure,
        )


def load_track(folder: Path) -> Track:
    """What `track` has kept in a folder so far; looks that are damaged are left out, with a word.

    Raises:
        ValueError: nothing was looked at yet, or what is there cannot be read.
    """
    if not (folder / MOMENTS).exists():
        raise ValueError(f"{folder}: expected a tracking with one look or more, got none yet")
    about = _read_about(folder / ABOUT)
    looks, damage = read_snapshots(folder, len(about["labels"]))
    if not looks or looks[0].moment.epoch:
        where = damage[0] if damage else folder / MOMENTS
        raise ValueError(f"{where}: the look at initialisation is lost; {AGAIN}")
    for line in damage:
        logger.warning("%s; %s", line, LEFT_OUT)
    return Track(
        tuple(kept.moment for kept in looks),
        torch.stack([kept.kernel for kept in looks]),
        torch.tensor(about["labels"]),
        tuple(about["classes"]),
        about["support"],
        about["held_out"],
        about["failure"],
    )


def _read_about(path: Path) -> dict[str, Any]:
    kinds = {"labels": list, "classes": list, "support": int, "held_out": int, "failure": str}
    try:
        about: dict[str, Any] = json.loads(path.read_bytes())
        typed = all(type(about[name]) is kind for name, kind in kinds.items())
        if not typed or any(type(label) is not int for label in about["labels"]):
            raise TypeError(f"got {about}")
        if not all(isinstance(name, str) for name in about["classes"]):
            raise TypeError(f"got {about['classes']}")
        if any(not 0 <= label < len(about["classes"]) for label in about["labels"]):
            raise IndexError("a label without a class")
    except UNREADABLE as error:
        raise ValueError(
            f"{path}: expected labels and classes of the looks, got what cannot be read as such "
            f"({type(error).__name__}); {AGAIN}"
        ) from error
    return about


def question(
    network: nn.Module, images: Images, recipe: Recipe, spec: Tracking, seed: int, device: str
) -> dict[str, Any]:
    """What decides every number of a tracking, the initial weights included."""
    weights = hashlib.blake2b(digest_size=8)
    for name, tensor in network.state_dict().items():
        weights.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        weights.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy())
    return {
        "layers": digest(repr(network)),
        "initial weights": weights.hexdigest(),
        "images": images.fingerprint,
        **{f"recipe.{name}": value for name, value in asdict(recipe).items()},
        **asdict(spec),
        "seed": seed,
        "device": device,
        "version": code_version(
            ("images", "kernels", "training"),
            "untrained.runs.moments",
            "untrained.runs.tracking",
            *modules_of(*network.modules()),
        ),
    }


def _claim(folder: Path, asked: dict[str, Any]) -> None:
    """Makes the folder that of this very tracking, if it is not that of another."""
    (folder / "kernels").mkdir(parents=True, exist_ok=True)
    path = folder / "question.json"
    if not path.exists() and not (folder / MOMENTS).exists():
        write_whole(path, json.dumps(asked, indent=2).encode())
    try:
        kept = dict(json.loads(path.read_bytes()))
    except UNREADABLE as error:
        raise ValueError(
            f"{path}: expected what this tracking was asked, got what cannot be read as such "
            f"({type(error).__name__}); put a copy back, or delete {folder} to start anew"
        ) from error
    for name, value in asked.items():
        if kept.get(name) != value:
            raise ValueError(
                f"{folder}: holds another tracking: {name}: expected {value!r}, got "
                f"{kept.get(name)!r}; use another folder, or delete this one"
            )


def _write_about(folder: Path, track: Track) -> None:
    about = {
        "labels": track.labels.tolist(),
        "classes": track.classes,
        "support": track.support,
        "held_out": track.held_out,
        "failure": track.failure,
    }
    write_whole(folder / ABOUT, json.dumps(about).encode())
