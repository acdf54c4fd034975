"""A network as an ONNX graph, quietly. Needs `untrained[onnx]`."""

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import torch
from torch import Tensor, nn

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18
CHATTERING = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def missing_packages() -> tuple[str, ...]:
    """The packages among those ONNX needs that are not installed."""
    return tuple(name for name in PACKAGES if importlib.util.find_spec(name) is None)


def write_graph(network: nn.Module, path: Path, example: Tensor, *, any_batch: bool) -> None:
    """One ONNX file with the weights inside; input `images`, output `logits`.

    Args:
        network: on the CPU, in evaluation mode.
        path: the file.
        example: images (n, c, h, w) of the size that the network is for.
        any_batch: whether n is free; else it is the example's.

    Raises:
        torch.onnx.OnnxExporterError: if the network cannot be expressed.
    """
    with quiet():
        torch.onnx.export(
            network,
            (example,),
            path,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("n")},) if any_batch else None,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps exporters from warning about themselves and about packages nobody needs."""
    loggers = [logging.getLogger(name) for name in CHATTERING]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        # A failing export prints its graph.
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
