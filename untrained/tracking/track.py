"""How the NTK of one network moves while the network is trained.

The probe is drawn once. Published trackings draw a new batch for each snapshot, which mixes the
noise of the images with the movement of the kernel.

Source: Mok et al., "Demystifying the Neural Tangent Kernel from a Practical Perspective", CVPR
2022, https://arxiv.org/abs/2203.14577, and its code, for alignment, correlation and change.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor, nn

from untrained.files import write_whole
from untrained.images import Images
from untrained.locations import Location
from untrained.runs.code import code_version, modules_of
from untrained.runs.identity import digest, question
from untrained.runs.streams import stream
from untrained.runs.thumbnails import from_sheet, png, sheet, thumbnail
from untrained.tracking.config import Tracking
from untrained.tracking.scales import Scales
from untrained.tracking.snapshot_files import (
    SNAPSHOTS,
    UNREADABLE,
    Recorded,
    read_recorded,
    write_recorded,
)
from untrained.tracking.snapshots import (
    Earlier,
    Snapshot,
    TrackedImages,
    as_kept,
    draw_tracked_images,
    layer_kernels,
    number_of,
    take_snapshot,
)
from untrained.training import Epoch, Recipe, check_fits, train
from untrained.training.checkpoint import describe, load_checkpoint
from untrained.urls import Unreachable

logger = logging.getLogger(__name__)

ABOUT = "about.json"
"The file that says what else a track does, beside its snapshots."
PROBE = "probe.png"
"The sheet of small pictures of the probe."
LEFT_OUT = "left out; track again to repeat it (delete training.pt first, unless it was the last)"
AGAIN = "give the track command again: it rewrites this and keeps the rest"


@dataclass(frozen=True)
class Track:
    """What the snapshots of a training gave, from initialisation on."""

    snapshots: tuple[Snapshot, ...]
    kernels: Float32[Tensor, "t n n"]
    "Theta_t of each snapshot, the probe sorted by class."
    labels: Int64[Tensor, " n"]
    "Of the probe, in that order."
    classes: tuple[str, ...]
    support: int
    "Training images that NTK regression learns from."
    held_out: int
    "Validation images on which network and regression are compared."
    reason: str
    "Why training ended early, and what to try; empty if it did not."
    probe: UInt8[Tensor, "n c h w"] | None = None
    "Small pictures of the probe in the order of `labels`; None where they are lost."
    optimizer: str = ""
    "Whose steps scale the kernel, J P J^T; empty of plain gradient descent."


def track(
    network: nn.Module,
    images: Images,
    recipe: Recipe,
    spec: Tracking,
    *,
    seed: int = 0,
    folder: Location | None = None,
    on_snapshot: Callable[[Snapshot], None] | None = None,
    device: str = "cpu",
) -> Track:
    """Train a network as `train` does, and measure its NTK on a fixed probe along the way.

    The training is that of `train` with the same seed, bit for bit, and the network is left with
    the same weights. Killed anywhere and called again with an equal network and its folder, it
    resumes and gives the same numbers. A training that diverges ends the tracking; earlier
    snapshots are kept.

    Args:
        network: any network from normalised images to logits, with its initial weights.
        images: trained on `train`, with the probe from `validation`; `test` is not touched.
        recipe: every choice of the training.
        spec: what is measured, and when.
        seed: of the training, and of the choice of images.
        folder: where to keep checkpoint, snapshots (`snapshots.jsonl`), kernels
            (`kernels/00000.npy`, float32) and small pictures of the probe (`probe.png`), for
            `load_track`; None keeps nothing.
        on_snapshot: called with each new snapshot, after it is on the disk.
        device: where to compute.

    Raises:
        ValueError: what does not fit, a folder of another tracking, or one that is damaged.

    Example:
        >>> from untrained.images import load_images
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> found = track(net, load_images("digits"), Recipe(epochs=1), Tracking(support=0))
        >>> [snapshot.epoch for snapshot in found.snapshots]
        [0, 1]
        >>> found.snapshots[1].change_initial.value  # of a linear network, the kernel cannot move
        0.0
    """
    check_fits(deepcopy(network), images, recipe)
    shown = draw_tracked_images(images, spec, stream(seed, "tracking"))
    snapshots = Snapshots(network, images, shown, spec, device, folder, on_snapshot)
    checkpoint = None
    if folder is not None:
        _claim(folder, tracking_question(network, images, recipe, spec, seed, device))
        write_whole(folder / PROBE, png(sheet(snapshots.pictures)))
        snapshots.resume(folder)
        checkpoint = folder / "training.pt"
    network.to(device)
    snapshots.take(None, recipe.epochs)
    if checkpoint is not None and checkpoint.exists():
        state = load_checkpoint(checkpoint, describe(network, images, recipe, seed))
        if state.epochs:  # cut between the end of an epoch and its snapshot
            initial = deepcopy(network.state_dict())
            network.load_state_dict(state.network)
            snapshots.take(state.epochs[-1], recipe.epochs)
            network.load_state_dict(initial)
    found = train(
        network,
        images,
        recipe,
        seed=seed,
        checkpoint=checkpoint,
        on_epoch=lambda epoch: snapshots.take(epoch, recipe.epochs),
        device=device,
    )
    if folder is not None:
        _write_about(folder, snapshots.track(found.reason))
    return snapshots.track(found.reason)


@dataclass
class Snapshots:
    """The snapshots of one training so far."""

    network: nn.Module
    images: Images
    shown: TrackedImages
    spec: Tracking
    device: str
    folder: Location | None
    on_snapshot: Callable[[Snapshot], None] | None
    scales: Scales | None = None
    "Of the optimizer's steps; None of plain gradient descent."
    optimizer: str = ""
    "Its name."
    seen: list[Recorded] = field(default_factory=list)
    first: Mapping[str, Float32[Tensor, "n n"]] = field(default_factory=dict)
    "What each layer adds to the kernel at initialisation."

    @cached_property
    def pictures(self) -> UInt8[Tensor, "n c h w"]:
        """Of the probe, small."""
        return torch.stack([*map(thumbnail, self.shown.probe.pixels)])

    def resume(self, folder: Location) -> None:
        """From what the folder holds of the same tracking, and is not damaged."""
        if (folder / SNAPSHOTS).exists():
            self.seen, damage = read_recorded(folder, len(self.shown.probe))
            for line in damage:
                logger.warning("%s; %s", line, LEFT_OUT)

    def take(self, epoch: Epoch | int | None, last: int = 0) -> None:
        """Takes one after the epoch, if it is due and not there; None is initialisation.

        Where that one is there and later ones are not, what they need of the layers' kernels is
        computed again, with the initial weights: these kernels are not on the disk.
        """
        number = number_of(epoch)
        if number % self.spec.every and number != last:
            return
        seen = {kept.snapshot.epoch for kept in self.seen}
        if number in seen:
            due = {*range(0, last, self.spec.every), last}
            if self.spec.layers and number == 0 and not due <= seen:
                shares = layer_kernels(
                    self.network, self.images, self.shown, self.spec, self.device, self.scales
                )
                self.first = {layer: as_kept(share) for layer, share in shares.items()}
            return
        before = [kept for kept in self.seen if kept.snapshot.epoch < number]
        earlier = None
        if before:
            accuracy = before[0].snapshot.regression_accuracy
            earlier = Earlier(before[0].kernel, before[-1].kernel, accuracy, self.first)
        taken = take_snapshot(
            self.network,
            self.images,
            self.shown,
            self.spec,
            epoch,
            earlier,
            self.device,
            self.scales,
        )
        if earlier is None:
            self.first = taken.layers
        new = Recorded(taken.snapshot, taken.kernel)
        self.seen.insert(len(before), new)
        if self.folder is not None:
            _write_about(self.folder, self.track())
            write_recorded(self.folder, self.seen, new)
        if self.on_snapshot is not None:
            self.on_snapshot(new.snapshot)

    def track(self, reason: str = "") -> Track:
        """What they gave."""
        return Track(
            tuple(kept.snapshot for kept in self.seen),
            torch.stack([kept.kernel for kept in self.seen]),
            self.shown.probe.labels,
            self.images.classes,
            len(self.shown.support),
            len(self.shown.held_out),
            reason,
            self.pictures,
            self.optimizer,
        )


def load_track(folder: Location) -> Track:
    """What `track` has kept in a folder so far; damaged snapshots are left out, with a warning.

    Raises:
        ValueError: there is no snapshot yet, or what is there cannot be read.
    """
    if not (folder / SNAPSHOTS).exists():
        raise ValueError(f"{folder}: expected a tracking with one snapshot or more, got none yet")
    about = _read_about(folder / ABOUT)
    snapshots, damage = read_recorded(folder, len(about["labels"]))
    if not snapshots or snapshots[0].snapshot.epoch:
        where = damage[0] if damage else folder / SNAPSHOTS
        raise ValueError(f"{where}: the snapshot at initialisation is lost; {AGAIN}")
    for line in damage:
        logger.warning("%s; %s", line, LEFT_OUT)
    return Track(
        tuple(kept.snapshot for kept in snapshots),
        torch.stack([kept.kernel for kept in snapshots]),
        torch.tensor(about["labels"]),
        tuple(about["classes"]),
        about["support"],
        about["held_out"],
        about["reason"],
        _read_pictures(folder / PROBE, len(about["labels"])),
    )


def _read_pictures(path: Location, count: int) -> UInt8[Tensor, "n c h w"] | None:
    """Those of the probe; None of an older version's tracking, or where they are damaged."""
    try:
        return from_sheet(path.read_bytes(), count)
    except Unreachable:
        raise
    except UNREADABLE:
        return None


def _read_about(path: Location) -> dict[str, Any]:
    kinds = {"labels": list, "classes": list, "support": int, "held_out": int, "reason": str}
    try:
        about: dict[str, Any] = json.loads(path.read_bytes())
        typed = all(type(about[name]) is kind for name, kind in kinds.items())
        if not typed or any(type(label) is not int for label in about["labels"]):
            raise TypeError(f"got {about}")
        if not all(isinstance(name, str) for name in about["classes"]):
            raise TypeError(f"got {about['classes']}")
        if any(not 0 <= label < len(about["classes"]) for label in about["labels"]):
            raise IndexError("a label without a class")
    except Unreachable:
        raise
    except UNREADABLE as error:
        raise ValueError(
            f"{path}: expected labels and classes of the snapshots, got what cannot be read as "
            f"such ({type(error).__name__}); {AGAIN}"
        ) from error
    return about


def tracking_question(
    network: nn.Module, images: Images, recipe: Recipe, spec: Tracking, seed: int, device: str
) -> dict[str, Any]:
    """What decides every number of a tracking, the initial weights included."""
    weights = hashlib.blake2b(digest_size=8)
    for name, tensor in network.state_dict().items():
        weights.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        weights.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy())
    version = code_version(
        ("images", "kernels", "training"),
        "untrained.tracking.snapshots",
        "untrained.tracking.track",
        *modules_of(*network.modules()),
    )
    return question(
        images=images.fingerprint,
        device=device,
        version=version,
        modules=digest(repr(network)),
        seed=seed,
        **{"initial weights": weights.hexdigest()},
        **{f"recipe.{name}": value for name, value in vars(recipe).items()},
        **vars(spec),
    )


def _claim(folder: Location, asked: dict[str, Any]) -> None:
    """Makes the folder that of this very tracking, if it is not that of another."""
    (folder / "kernels").mkdir(parents=True, exist_ok=True)
    path = folder / "question.json"
    if not path.exists() and not (folder / SNAPSHOTS).exists():
        write_whole(path, json.dumps(asked, indent=2).encode())
    try:
        kept = dict(json.loads(path.read_bytes()))
    except Unreachable:
        raise
    except UNREADABLE as error:
        raise ValueError(
            f"{path}: expected the configuration of this tracking, got what cannot be read "
            f"as one ({type(error).__name__}); put a copy back, or delete {folder} to start anew"
        ) from error
    for name, value in asked.items():
        if kept.get(name) != value:
            raise ValueError(
                f"{folder}: holds another tracking: {name}: expected {value!r}, got "
                f"{kept.get(name)!r}; use another folder, or delete this one"
            )


def _write_about(folder: Location, track: Track) -> None:
    about = {
        "labels": track.labels.tolist(),
        "classes": track.classes,
        "support": track.support,
        "held_out": track.held_out,
        "reason": track.reason,
    }
    write_whole(folder / ABOUT, json.dumps(about).encode())
