"""A tracking in a folder of its own, from a configuration."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, is_dataclass, replace
from typing import Any, get_type_hints

from torch import nn

from untrained.files import write_whole
from untrained.images import Images, load_images
from untrained.runs.code import code_version, modules_of
from untrained.runs.config_file import CONFIG, as_toml
from untrained.runs.identity import digest
from untrained.runs.initial_network import initial_network
from untrained.runs.references import own_network
from untrained.runs.tasks import training_images
from untrained.settings import typed
from untrained.spaces import get_space
from untrained.storage.folder import RunFolder
from untrained.tracking.config import TrackConfig
from untrained.tracking.snapshots import Snapshot
from untrained.tracking.track import Track, track, tracking_question

ASKED = "asked.json"
"The file that says what a folder's tracking was asked."
EARLIER = {"layers": 0}
"Fields of `TrackConfig` that older versions lacked, with the values that they stood for."


def track_one(
    config: TrackConfig,
    architecture: str | None = None,
    on_snapshot: Callable[[Snapshot], None] | None = None,
) -> tuple[RunFolder, Track]:
    """Tracks an architecture, or the configuration's own network, in a folder of its own.

    The same question has the same folder, and resumes; another has another.

    Raises:
        ValueError: a configuration, network or image set that makes no sense.
        OSError: files that are missing or cannot be written, or a tracking held by another
            process.
    """
    config = config.check()
    recipe = config.recipe
    images = images_of(config)
    network, name = network_of(config, architecture, images)
    asked = tracking_question(network, images, recipe, config.tracking, config.seed, config.device)
    code = code_version(("spaces",), *modules_of(config.network or config.space))
    words = f"track-{images.name}-{name}-seed{config.seed}"
    words = re.sub(r"[^A-Za-z0-9_-]+", "_", words)
    folder = RunFolder(config.out, f"{words}-{digest([asked, code])[:8]}")
    with folder.held():
        about = {**asdict(config), "out": str(config.out)}
        command = ("track", *([architecture] if architecture else []))
        write_whole(folder.path / CONFIG, as_toml(config.resolved(), *command).encode())
        write_whole(folder.path / ASKED, json.dumps([architecture, about], indent=2).encode())
        found = track(
            network,
            images,
            recipe,
            config.tracking,
            seed=config.seed,
            folder=folder.path,
            on_snapshot=on_snapshot,
            device=config.device,
        )
    return folder, found


def holds_tracking(folder: RunFolder) -> bool:
    """Whether the folder is one that `track_one` made."""
    return (folder.path / ASKED).exists()


def load_asked(folder: RunFolder) -> tuple[TrackConfig, str | None]:
    """The configuration and the architecture of the tracking in a folder.

    Raises:
        ValueError: it cannot be read, or is of another version.
    """
    path = folder.path / ASKED
    try:
        architecture, about = json.loads(path.read_text(encoding="utf-8"))
        return _restored(TrackConfig, {**EARLIER, **about}), typed(
            str | None, architecture, "architecture"
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: expected what this version's untrained track was asked, got "
            f"{type(error).__name__}: {error}; give the track command again"
        ) from error


def _restored(kind: Any, kept: Any) -> Any:
    """The frozen dataclass of values that JSON held: all of its fields, each of its type."""
    hints = get_type_hints(kind)
    if others := set(kept) ^ set(hints):
        raise KeyError(", ".join(sorted(others)))
    return kind(
        **{
            name: _restored(hint, kept[name])
            if is_dataclass(hint)
            else typed(hint, kept[name], name)
            for name, hint in hints.items()
        }
    )


def images_of(config: TrackConfig) -> Images:
    """The images, trained on a part of them if so asked; a part has a fingerprint of its own."""
    images = load_images(config.images, size=config.size, seed=config.seed)
    part = training_images(images, config.training.images, config.seed)
    if part is images:
        return images
    fingerprint = digest([images.fingerprint, config.training.images, config.seed])
    return replace(part, fingerprint=fingerprint)


def network_of(
    config: TrackConfig, architecture: str | None, images: Images
) -> tuple[nn.Module, str]:
    """The network with its initial weights, and a word for it."""
    if (architecture is None) == (config.network is None):
        both = f"both {architecture!r} and {config.network!r}"
        raise ValueError(
            f"expected the text form of an architecture, or --network package.module:name, "
            f"got {'neither' if architecture is None else both}"
        )
    if config.network is not None:
        network = own_network(config.network, images, config.seed)
        return network, config.network.partition(":")[2]
    assert architecture is not None
    found = initial_network(config.space, config.scale, architecture, images, config.seed)
    return found, get_space(config.space).name
