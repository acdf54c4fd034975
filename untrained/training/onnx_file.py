"""A network as an ONNX file, checked against onnxruntime. Needs `untrained[onnx]`."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from untrained.networks.onnx_graph import write_graph

TOLERANCE = 1e-3  # of the largest logit; float32 runtimes differ by about 1e-6


def export_onnx(
    network: nn.Module, path: Path, batches: Sequence[Float32[Tensor, "_ c h w"]]
) -> float:
    """Write a network to one ONNX file, and compare it with onnxruntime.

    Its input `images` (n, c, h, w) is normalised, float32; its output `logits` is (n, classes);
    n is free.

    Args:
        network: on the CPU, in evaluation mode.
        path: the file, with the weights inside.
        batches: what to compare on; of several sizes, so that a fixed n would be noticed.

    Returns:
        The largest absolute difference between the logits of the two.

    Raises:
        torch.onnx.OnnxExporterError: if the network cannot be expressed.
        RuntimeError: if the two differ by more than a thousandth of the largest logit.
    """
    example = torch.zeros(2, *batches[0].shape[1:])  # a batch of one would become a constant
    write_graph(network, path, example, any_batch=True)
    return compare(network, path, batches)


@torch.no_grad()
def compare(
    network: nn.Module, path: Path, batches: Sequence[Float32[Tensor, "_ c h w"]]
) -> float:
    """The largest absolute difference of the logits; RuntimeError if it is out of tolerance."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    difference = largest = 0.0
    for inputs in batches:
        expected = network(inputs)
        (got,) = session.run(["logits"], {"images": inputs.numpy()})
        difference = max(difference, (torch.from_numpy(got) - expected).abs().max().item())
        largest = max(largest, expected.abs().max().item())
    if not difference <= TOLERANCE * largest:
        raise RuntimeError(
            f"{path}: expected the logits of onnxruntime within {TOLERANCE:g} of the network's "
            f"largest, {largest:g}, got a difference of {difference:g}; use the weights with the "
            f"loader beside it"
        )
    return difference
