"""Networks of a space: at every scale, again, of canonical forms, and as exported source."""

import ast
import sys
from typing import Any

import torch
from torch import nn

from untrained.conformance.finding import Check, Verdict
from untrained.conformance.sampled import (
    CLASSES,
    SIDE,
    Sampled,
    inputs_of,
    logits,
    noise,
    parameters,
)
from untrained.networks import draw_weights
from untrained.runs.streams import stream
from untrained.spaces import Architecture

SCALES = "full", "narrow", "small", "thin"
FORMS = 8
"Canonical forms whose networks are compared."
TOLERANCE = 1e-9
"Of logits in float64, relative to the largest."


def offers_the_named_scales(sampled: Sampled) -> Verdict:
    """Those at which scores ask for networks."""
    missing = [name for name in SCALES if name not in sampled.space.scales]
    if missing:
        return Verdict(False, f"expected scales called {', '.join(SCALES)}; {missing[0]} is not")
    return Verdict(True, ", ".join(sampled.space.scales))


def gives_logits_at_every_scale(sampled: Sampled) -> Verdict:
    """Of two images, with weights drawn."""
    said = []
    for name in sampled.space.scales:
        network = sampled.drawn(sampled.architectures[0], name)
        found = logits(network, noise(name))
        if found.shape != (2, CLASSES):
            shape = tuple(found.shape)
            return Verdict(False, f"{name}: expected logits of shape (2, {CLASSES}), got {shape}")
        said.append(f"{name} {parameters(network):,}")
    return Verdict(True, f"parameters of the first sample: {', '.join(said)}")


def builds_the_same_again(sampled: Sampled) -> Verdict:
    """Parameters of the same names and shapes, and with weights of one draw the same logits."""
    for architecture in sampled.architectures[:FORMS]:
        one, other = sampled.drawn(architecture), sampled.drawn(architecture)
        shapes = [[(n, t.shape) for n, t in each.state_dict().items()] for each in (one, other)]
        if shapes[0] != shapes[1]:
            return Verdict(False, f"{architecture} has two networks: {_first(*shapes)}")
        images = noise(sampled.small)
        if not torch.equal(logits(one, images), logits(other, images)):
            return Verdict(False, f"{architecture}: equal weights give other logits")
    return Verdict(True, f"{FORMS} architectures, twice")


def _first(one: list[Any], other: list[Any]) -> str:
    return next((f"{a} and {b}" for a, b in zip(one, other, strict=False) if a != b), "more parts")


def builds_canonical_forms_alike(sampled: Sampled) -> Verdict:
    """The same logits of an architecture and its form, weights being equal by their shape.

    Such weights do not tell which operation of a kind is which, nor in which order channels come;
    so forms that differ in the order of nodes alone agree.
    """
    pairs = [(a, sampled.space.canonical(a)) for a in sampled.architectures]
    others = [(a, form) for a, form in pairs if a != form][:FORMS]
    for architecture, form in others:
        one, other = (_logits_by_shape(sampled, each) for each in (architecture, form))
        largest = float(one.abs().max())
        apart = float((one - other).abs().max())
        if not apart <= TOLERANCE * max(largest, 1.0):
            said = f"logits of up to {largest:.3g} differ by {apart:.3g}"
            return Verdict(False, f"{architecture} and its form {form}: {said}")
    said = f"{len(others)} architectures that are not their own forms"
    return Verdict(True, said if others else "each sampled architecture is its own form")


def _logits_by_shape(sampled: Sampled, architecture: Architecture) -> torch.Tensor:
    """With weights that depend on a parameter's shape alone, equal along its inputs."""
    network, x = sampled.build(architecture).double(), noise(sampled.small).double()
    draw_weights(network, "kaiming_fan_out", stream(0, "weights"), x=x)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                fill_by_shape(parameter)
    return logits(network.train(), x)


def fill_by_shape(parameter: nn.Parameter) -> None:
    """Numbers that stand for the shape, the same for every input channel."""
    shape = parameter.shape
    drawn = torch.randn((shape[0], 1, *shape[2:]), generator=stream(*shape), dtype=parameter.dtype)
    parameter.copy_((drawn / parameter[0].numel() ** 0.5).expand(shape))


def has_terms_that_add_up(sampled: Sampled) -> Verdict:
    """Their parameters to those of the architecture, since sums over modules are taken so."""
    for architecture in sampled.architectures[:FORMS]:
        terms = sampled.space.terms(architecture)
        summed = sum(n * parameters(sampled.build(term)) for term, n in terms.items())
        whole = parameters(sampled.build(architecture))
        if summed != whole:
            said = f"{len(terms)} terms have {summed:,} parameters, it has {whole:,}"
            return Verdict(False, f"{architecture}: {said}")
    return Verdict(True, f"parameters of {FORMS} architectures")


def exports_the_same_network(sampled: Sampled) -> Verdict:
    """Source that needs torch alone, and gives the same logits with the same weights."""
    architecture, name = sampled.architectures[0], sampled.small
    shape = inputs_of(name), SIDE, SIDE
    try:
        source, constructor = sampled.space.export(
            architecture, sampled.scale(name), inputs=shape, classes=CLASSES
        )
    except NotImplementedError:
        return Verdict(None, "it exports nothing")
    foreign = sorted(imported(source) - {"torch", *sys.stdlib_module_names})
    if foreign:
        return Verdict(False, f"expected source that needs torch alone: it imports {foreign[0]}")
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(compile(source, "exported", "exec"), namespace)
    exported, network = eval(constructor, namespace), sampled.drawn(architecture)
    exported.load_state_dict(network.state_dict())
    images = noise(name)
    same = torch.equal(logits(exported.eval(), images), logits(network, images))
    return Verdict(same, constructor.partition("(")[0] if same else "other logits")


def imported(source: str) -> set[str]:
    """The packages that a source text imports.

    Example:
        >>> sorted(imported("import torch.nn as nn\\nfrom untrained.spaces import Space"))
        ['torch', 'untrained']
    """
    names = set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


CONTRACT: dict[str, Check[Sampled]] = {
    "offers the named scales": offers_the_named_scales,
    "gives logits at every scale": gives_logits_at_every_scale,
    "builds the same network again": builds_the_same_again,
    "builds the same function of canonical forms": builds_canonical_forms_alike,
    "has terms that add up": has_terms_that_add_up,
    "exports the same network": exports_the_same_network,
}
