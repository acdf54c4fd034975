"""A trained network as files that work without this library."""

import ast
import errno
import runpy
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import jinja2
import torch
from jaxtyping import Float, Float32
from safetensors import SafetensorError
from safetensors.torch import save_model
from torch import Tensor, nn

from untrained.files import folder_written_whole
from untrained.images.dataset import Images
from untrained.networks.onnx_graph import missing_packages
from untrained.training.evaluation import Evaluation, evaluate
from untrained.training.onnx_file import export_onnx

WEIGHTS = "weights.safetensors"
LOADER = "network.py"
GRAPH = "network.onnx"
LOADER_TEMPLATE = "loader.py.j2"
PICTURES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"Channels that pictures have -> their mode in Pillow; other networks take arrays alone."
TOLERANCE = 1e-4  # of the largest logit; the loader runs the same operations on the same machine
FLIPPED = 0.005  # share of the test images that rounding on another device may put elsewhere


@dataclass(frozen=True)
class Exported:
    """The files of one exported network."""

    folder: Path
    weights: Path
    "Parameters and buffers, as safetensors."
    loader: Path
    "A Python file that builds the network, reads its weights and classifies pictures."
    onnx: Path | None
    "The network as ONNX; None if that was not possible, see `notes`."
    onnx_difference: float | None
    "Largest absolute difference between the logits of onnxruntime and those of torch."
    evaluation: Evaluation | None
    "Of the files as they were written, on the test images; None if there are none."
    notes: tuple[str, ...]
    "What could not be written and why, one line each."


def export(
    network: nn.Module,
    folder: Path,
    *,
    images: Images,
    source: str,
    constructor: str,
    title: str,
    accuracy: float | None = None,
) -> Exported:
    """Write weights, a loader that stands on its own, and an ONNX file; check each.

    The loader needs torch and safetensors, and Pillow to classify picture files. The ONNX file
    takes normalised images; it is left out, with a note, if `untrained[onnx]` is not installed
    or the network cannot be expressed. Files of the same names are replaced together, once all
    are written and checked: whatever happens, the folder holds the whole old export or the whole
    new one. The network stays as it is, wherever it is.

    Args:
        network: maps normalised images (n, c, h, w) to logits (n, classes).
        folder: where to write; made if missing.
        images: the data it was trained on: class names, statistics, shape, and test images to
            compare on.
        source: text of a Python module that needs torch alone and defines the network.
        constructor: expression that builds the untrained network from the names in `source`.
        title: what the network is, on one line.
        accuracy: what the trained network is known to reach on the test images; the files must
            reach it too. None asks for nothing.

    Raises:
        ValueError: if source or constructor are not Python, or the source takes names of the
            loader, or the folder is the working folder.
        RuntimeError: if the loader or the ONNX file give other logits than the network, or the
            files another accuracy.
        OSError: if it cannot be written.
    """
    text = render(images, source, constructor, title)
    copied = deepcopy(network).cpu().eval()
    batches = comparison_batches(images)
    with folder_written_whole(folder, (LOADER, WEIGHTS, GRAPH)) as new:
        (new / LOADER).write_text(text, encoding="utf-8")
        _write_weights(copied, new / WEIGHTS)
        (new / WEIGHTS).chmod((new / LOADER).stat().st_mode)  # safetensors hides its files
        loaded = check_loader(new / LOADER, copied, batches)
        evaluation = evaluate(loaded, images.test, images) if len(images.test) else None
        if evaluation and accuracy is not None:
            check_accuracy(evaluation.accuracy, accuracy, len(images.test))
        onnx, difference, notes = _write_onnx(copied, new / GRAPH, batches)
    return Exported(
        folder,
        folder / WEIGHTS,
        folder / LOADER,
        onnx and folder / GRAPH,
        difference,
        evaluation,
        notes,
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


def render(images: Images, source: str, constructor: str, title: str) -> str:
    """Text of the loader."""
    _check_python(source, "exec", "source")
    _check_python(constructor, "eval", "constructor")
    text = _fill_template(images, source, constructor, title)
    taken = defined_names(source) & defined_names(_fill_template(images, "", "None", ""))
    if taken:
        raise ValueError(
            f"source: expected a module that leaves the loader its own names, got one that "
            f"defines {', '.join(sorted(taken))}; rename them in the source"
        )
    return text


def defined_names(text: str) -> set[str]:
    """Names of the functions, classes and constants at the top of a module.

    Example:
        >>> sorted(defined_names("import torch\\nA = B = 1\\ndef f(): c = 2"))
        ['A', 'B', 'f']
    """
    names = set()
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            nodes = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
            names |= {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
    return names


def comparison_batches(images: Images) -> list[Float32[Tensor, "_ c h w"]]:
    """Noise and, where there are any, test images: one, and several."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(5, *images.shape, generator=generator)
    real = images.normalise(images.test.pixels[:8])
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
    with torch.random.fork_rng(devices=[]):  # it draws weights before it reads them
        loaded = runpy.run_path(str(loader), run_name="exported_network")["load"]()
    for inputs in batches:
        expected = network(inputs)
        difference = _largest(loaded(inputs) - expected)
        if not difference <= TOLERANCE * _largest(expected):
            raise RuntimeError(
                f"{loader.name}: expected the logits of the network, got a difference of "
                f"{difference:g}; constructor and source must build the same network"
            )
    return loaded


def _write_onnx(
    network: nn.Module, path: Path, batches: list[Float32[Tensor, "_ c h w"]]
) -> tuple[Path | None, float | None, tuple[str, ...]]:
    """The file and its largest difference, or None and a note that says why there is none."""
    if missing := missing_packages():
        note = f"no ONNX file: {', '.join(missing)} not installed; pip install 'untrained[onnx]'"
        return None, None, (note,)
    try:
        return path, export_onnx(network, path, batches), ()
    except torch.onnx.OnnxExporterError as error:
        path.unlink(missing_ok=True)
        if isinstance(error.__cause__, OSError):  # a full disk says nothing about the network
            raise error.__cause__ from error
        # The error itself is a page of advice for developers of the exporter.
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        return None, None, (f"no ONNX file: the network cannot be expressed: {reason}",)


def _write_weights(network: nn.Module, path: Path) -> None:
    try:
        save_model(network, str(path))
    except SafetensorError as error:
        full = "os error 28" in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(path)) from error


def _fill_template(images: Images, source: str, constructor: str, title: str) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["repr"] = repr
    environment.globals["modes"] = PICTURES
    return environment.get_template(LOADER_TEMPLATE).render(
        title=readable(title),
        example="picture.png" if images.shape[0] in PICTURES else "array.npy",
        pictures=images.shape[0] in PICTURES,
        loader=Path(LOADER).stem,
        weights=WEIGHTS,
        source=source.strip(),
        constructor=constructor.strip(),
        classes=images.classes,
        shape=images.shape,
        mean=tuple(images.mean.tolist()),
        std=tuple(images.std.tolist()),
        grey_bits=images.grey_bits,
    )


def readable(text: str) -> str:
    r"""Text on one line, with what cannot be printed as its escape.

    Example:
        >>> readable("an\x1b \n été")
        'an\\x1b été'
    """
    printable = (c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
    return "".join(printable)


def _check_python(text: str, mode: str, name: str) -> None:
    try:
        ast.parse(text.strip(), mode=mode)
    except SyntaxError as error:
        raise ValueError(
            f"{name}: expected Python, got {error.msg!r} in line {error.lineno}: {text[:80]!r}"
        ) from error


def _largest(values: Float[Tensor, "..."]) -> float:
    return values.abs().max().item()
