"""A trained network as files that work without this library."""

import errno
import runpy
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from jaxtyping import Float, Float32
from safetensors import SafetensorError
from safetensors.torch import save_model
from torch import Tensor, nn

from untrained.files import folder_written_whole
from untrained.images.dataset import Images
from untrained.locations import Location
from untrained.training.evaluation import Evaluation, evaluate
from untrained.training.graphs import GRAPH, PROGRAM, write_graphs
from untrained.training.loader import LOADER, WEIGHTS, render
from untrained.training.metadata import metadata
from untrained.training.model_card import CARD, Origin, model_card

FILES = (LOADER, WEIGHTS, PROGRAM, GRAPH, CARD)
TOLERANCE = 1e-4  # of the largest logit; the loader runs the same operations on the same machine
FLIPPED = 0.005  # share of the test images that rounding on another device may put elsewhere


@dataclass(frozen=True)
class Exported:
    """The files of one exported network."""

    folder: Location
    weights: Location
    "Parameters and buffers, as safetensors."
    loader: Location
    "A Python file that builds the network, reads its weights and classifies pictures."
    card: Location
    "What it is, how good, how trained and how to use it, in Markdown."
    program: Location | None
    "The network of `torch.export`; None if that was not possible, see `notes`."
    program_difference: float | None
    "Largest absolute difference between its logits and those of the network."
    onnx: Location | None
    "The network as ONNX; None if that was not possible, see `notes`."
    onnx_difference: float | None
    "Largest absolute difference between the logits of onnxruntime and those of the network."
    evaluation: Evaluation | None
    "Of the files as they were written, on the test images; None if there are none."
    notes: tuple[str, ...]
    "What could not be written and why, one line each."


def export(
    network: nn.Module,
    folder: Location,
    *,
    images: Images,
    source: str,
    constructor: str,
    origin: Origin,
    accuracy: float | None = None,
) -> Exported:
    """Write weights, a loader that stands on its own, graphs and a model card; check each.

    The loader needs torch and safetensors, and Pillow to classify picture files. `network.pt2`, of
    `torch.export`, and `network.onnx` take normalised images, and hold class names and statistics
    as metadata; they are left out, with a note, if the network cannot be expressed, and the latter
    if `untrained[onnx]` is not installed. Files of the same names are replaced together, once all
    are written and checked: whatever happens, the folder holds the whole old export or the whole
    new one. The network stays as it is, wherever it is.

    Args:
        network: maps normalised images (n, c, h, w) to logits (n, classes).
        folder: where to write; made if missing.
        images: the data it was trained on: class names, statistics, shape, and test images to
            compare on.
        source: text of a Python module that needs torch alone and defines the network.
        constructor: expression that builds the untrained network from the names in `source`.
        origin: what the network is and how it was trained, for the model card.
        accuracy: what the trained network is known to reach on the test images; the files must
            reach it too. None asks for nothing.

    Raises:
        ValueError: if source or constructor are not Python, or the source takes names of the
            loader, or the folder is the working folder.
        RuntimeError: if the loader or a graph gives other logits than the network, or the files
            another accuracy.
        OSError: if it cannot be written.
    """
    text = render(images, source, constructor, f"{origin.name}: {origin.architecture}")
    copied = deepcopy(network).cpu().eval()
    batches = comparison_batches(images)
    with folder_written_whole(folder, FILES) as new:
        (new / LOADER).write_text(text, encoding="utf-8")
        _write_weights(copied, new / WEIGHTS)
        (new / WEIGHTS).chmod((new / LOADER).stat().st_mode)  # safetensors hides its files
        loaded = check_loader(new / LOADER, copied, batches)
        evaluation = evaluate(loaded, images.test, images) if len(images.test) else None
        if evaluation and accuracy is not None:
            check_accuracy(evaluation.accuracy, accuracy, len(images.test))
        graphs = write_graphs(copied, new, batches, metadata(images, origin.architecture))
        parameters = sum(parameter.numel() for parameter in copied.parameters())
        written = {path.name for path in new.iterdir()}
        card = model_card(images, origin, evaluation, parameters, written)
        (new / CARD).write_text(card, encoding="utf-8")
    return Exported(
        folder,
        folder / WEIGHTS,
        folder / LOADER,
        folder / CARD,
        folder / PROGRAM if PROGRAM in written else None,
        graphs.program,
        folder / GRAPH if GRAPH in written else None,
        graphs.onnx,
        evaluation,
        graphs.notes,
    )


def check_accuracy(reached: float, known: float, count: int) -> None:
    """Refuse files whose accuracy on `count` test images is not that of the trained network.

    Raises:
        RuntimeError: it differs by more than one image and more than rounding makes of it.
    """
    if abs(reached - known) * count > max(1, FLIPPED * count) + 0.5:
        raise RuntimeError(
            f"expected an export with the accuracy of the trained network, {known:.2%}, got files "
            f"with {reached:.2%}: its code or its weights are not those that were trained; "
            f"nothing is exported"
        )


def comparison_batches(images: Images) -> list[Float32[Tensor, "_ c h w"]]:
    """Noise and, where there are any, test images: one, and several."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(5, *images.shape, generator=generator)
    real = images.normalise(next(images.test.batches(8)))
    return [batch for batch in (noise[:1], noise, real[:1], real) if len(batch)]


@torch.no_grad()
def check_loader(
    loader: Path, network: nn.Module, batches: list[Float32[Tensor, "_ c h w"]]
) -> nn.Module:
    """Run the loader in this process, leaving no module behind, and compare logits.

    Returns:
        The network that the files give.

    Raises:
        RuntimeError: if they differ.
    """
    loaded = run_loader(loader)
    for inputs in batches:
        expected = network(inputs)
        difference = _largest(loaded(inputs) - expected)
        if not difference <= TOLERANCE * _largest(expected):
            raise RuntimeError(
                f"{loader.name}: expected the logits of the network, got a difference of "
                f"{difference:g}; constructor and source must build the same network"
            )
    return loaded


def run_loader(loader: Path) -> nn.Module:
    """The network that a loader gives."""
    with torch.random.fork_rng(devices=[]):  # it draws weights before it reads them
        network: nn.Module = runpy.run_path(str(loader), run_name="exported_network")["load"]()
    return network


def load_exported(folder: Location) -> nn.Module:
    """The network of an exported folder, with its weights; its loader is run.

    Raises:
        OSError: the files are not there.
    """
    if isinstance(folder, Path):
        return run_loader(folder / LOADER)
    with TemporaryDirectory() as near:
        for name in (LOADER, WEIGHTS):
            Path(near, name).write_bytes((folder / name).read_bytes())
        return run_loader(Path(near, LOADER))


def _write_weights(network: nn.Module, path: Path) -> None:
    try:
        save_model(network, str(path))
    except SafetensorError as error:
        full = "os error 28" in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(path)) from error


def _largest(values: Float[Tensor, "..."]) -> float:
    return values.abs().max().item()
