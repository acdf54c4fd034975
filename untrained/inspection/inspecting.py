"""The inspection that a configuration asks for."""

import re
from pathlib import Path

import torch
from torch import nn

from untrained.images import Images, Probe, ProbeSpec, draw_probe, load_images
from untrained.inspection.config import InspectConfig
from untrained.inspection.inspection import Inspection, inspect
from untrained.locations import Location
from untrained.plugins import is_path
from untrained.runs.identity import digest
from untrained.runs.initial_network import initial_network
from untrained.runs.references import own_network


def inspect_one(model: str, config: InspectConfig) -> Inspection:
    """Inspects package.module:name, or an architecture of the configuration's space.

    Raises:
        ValueError: a configuration, network or image set that makes no sense.
        OSError: images that are missing.
    """
    config = config.check()
    images = load_images(config.images, size=config.size, seed=config.seed)
    network = _network(model, config, images).to(config.device)
    return inspect(network, _probe(config, images), seed=config.seed)


def page_of(model: str, config: InspectConfig) -> Location:
    """Where the page of an inspection is written; the same for the same question."""
    name = model if is_path(model) else config.space
    words = re.sub(r"[^A-Za-z0-9_-]+", "_", f"inspect-{Path(config.images).stem}-{name}")
    return config.out / f"{words}-{digest([config.command(model)])[:8]}.html"


def _network(model: str, config: InspectConfig, images: Images) -> nn.Module:
    if is_path(model):
        return own_network(model, images, config.seed)
    return initial_network(config.space, config.scale, model, images, config.seed)


def _probe(config: InspectConfig, images: Images) -> Probe:
    """The batch, in the values that are asked for."""
    generator = torch.Generator().manual_seed(config.seed)
    probe = draw_probe(images, ProbeSpec(count=config.probe, at_most=True), generator)
    x = probe.inputs
    if config.pixels != "normalised":
        x = x * images.std[:, None, None] + images.mean[:, None, None]
        x = 255 * x if config.pixels == "bytes" else x
    origin = f"{probe.origin}, {WORDS[config.pixels]}"
    return Probe(x.to(config.device), probe.labels, probe.classes, origin)


WORDS = {"normalised": "normalised", "unit": "from 0 to 1", "bytes": "from 0 to 255"}
