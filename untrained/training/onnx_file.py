"""A network as an ONNX file. Needs `untrained[onnx]`."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.export import ExportedProgram

from untrained.networks.onnx_graph import OPSET


def save_onnx(program: ExportedProgram, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a traced network to one file, with its weights and `metadata` inside.

    Args:
        program: maps images (n, c, h, w) to logits, for any n.
        path: the file.
        metadata: becomes `metadata_props`, which every runtime shows by name.

    Raises:
        torch.onnx.OnnxExporterError: the network cannot be expressed.
        OSError: the file cannot be written.
    """
    (example,), _ = program.example_inputs
    written = torch.onnx.export(
        program,
        (example,),
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("n")},),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert written is not None  # that is of the exporters before this one
    written.model.metadata_props.update(metadata)
    written.save(path, external_data=False)


def onnx_logits(path: Path) -> Callable[[Tensor], Float[Tensor, "n k"]]:
    """What onnxruntime makes of the file on the CPU: images -> logits."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        (logits,) = session.run(["logits"], {"images": images.numpy()})
        return torch.from_numpy(logits)

    return run
