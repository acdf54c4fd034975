"""A network as files that hold its operations: of `torch.export`, and of ONNX."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.export import ExportedProgram

from untrained.networks.onnx_graph import missing_packages, quiet
from untrained.training.onnx_file import onnx_logits, save_onnx

PROGRAM = "network.pt2"
GRAPH = "network.onnx"
METADATA = "metadata.json"
"Name under which `torch.export.load(..., extra_files={...})` gives the metadata."
TOLERANCE = 1e-3  # of the largest logit; float32 runtimes differ by about 1e-6

Batches = Sequence[Float32[Tensor, "_ c h w"]]


class Graphs(NamedTuple):
    """What was written, as the largest absolute difference of logits from those of torch."""

    program: float | None
    "Of the file of `torch.export`; None if there is none."
    onnx: float | None
    "Of onnxruntime; None if there is no ONNX file."
    notes: tuple[str, ...] = ()
    "What could not be written and why, one line each."


def write_graphs(
    network: nn.Module, folder: Path, batches: Batches, metadata: Mapping[str, str]
) -> Graphs:
    """Write `network.pt2` and `network.onnx`, as far as the network can be expressed, and check.

    The network is traced once, for any number of images. Its input `images` (n, c, h, w) is
    normalised, float32; its output `logits` is (n, classes).

    Args:
        network: on the CPU, in evaluation mode.
        folder: which exists.
        batches: what to compare on; of several sizes, so that a fixed n would be noticed.
        metadata: kept in both files.

    Raises:
        RuntimeError: a file gives other logits than the network.
        OSError: a file cannot be written.
    """
    with quiet():
        try:
            program = trace(network, batches[0].shape[1:])
        except Exception as error:  # somebody else's network may raise anything
            return Graphs(None, None, tuple(_note(kind, error) for kind in KINDS))
        whole = _write_program(program, folder / PROGRAM, metadata)
        notes = []
        if missing := missing_packages():
            advice = f"{', '.join(missing)} not installed; pip install 'untrained[onnx]'"
            notes = [f"no ONNX file: {advice}"]
        else:
            try:
                save_onnx(program, folder / GRAPH, metadata)
            except torch.onnx.OnnxExporterError as error:
                notes = [_note("ONNX", error)]
    difference = compare(whole, network, batches, PROGRAM)
    if notes:
        return Graphs(difference, None, tuple(notes))
    runtime = onnx_logits(folder / GRAPH)
    return Graphs(difference, compare(runtime, network, batches, GRAPH))


KINDS = ("torch.export", "ONNX")


def trace(network: nn.Module, shape: Sequence[int]) -> ExportedProgram:
    """The operations of a network on any number of images of this shape."""
    example = torch.zeros(2, *shape)  # a batch of one would become a constant
    shapes = ({0: torch.export.Dim("n")},)
    return torch.export.export(network, (example,), dynamic_shapes=shapes, strict=False)


def _write_program(program: ExportedProgram, path: Path, metadata: Mapping[str, str]) -> nn.Module:
    """Writes the file, and gives what it holds."""
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={METADATA: json.dumps(dict(metadata))})
    path.write_bytes(buffer.getbuffer())
    return torch.export.load(path).module()


@torch.no_grad()
def compare(
    logits: Callable[[Tensor], Float[Tensor, "n k"]],
    network: nn.Module,
    batches: Batches,
    name: str,
) -> float:
    """The largest absolute difference of the logits from those of the network.

    Raises:
        RuntimeError: it is more than a thousandth of the largest logit.
    """
    difference = largest = 0.0
    for inputs in batches:
        expected = network(inputs)
        difference = max(difference, (logits(inputs) - expected).abs().max().item())
        largest = max(largest, expected.abs().max().item())
    if not difference <= TOLERANCE * largest:
        raise RuntimeError(
            f"{name}: expected the logits of the network within {TOLERANCE:g} of the largest, "
            f"{largest:g}, got a difference of {difference:g}; use the weights with the loader "
            f"beside it"
        )
    return difference


def _note(kind: str, error: Exception) -> str:
    # The error itself is a page of advice for developers of the exporter.
    lines = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
    return f"no {kind} file: the network cannot be expressed: {lines[0]}"
