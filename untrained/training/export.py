"""A trained network as files that work without this library."""

import ast
import runpy
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import jinja2
import torch
from jaxtyping import Float, Float32
from safetensors.torch import save_model
from torch import Tensor, nn

from untrained.images.dataset import Images
from untrained.training.onnx_file import export_onnx, missing_packages

WEIGHTS = "weights.safetensors"
LOADER = "network.py"
GRAPH = "network.onnx"
LOADER_TEMPLATE = "loader.py.j2"
TOLERANCE = 1e-4  # of the largest logit; the loader runs the same operations on the same machine


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
    notes: tuple[str, ...]
    "What could not be written and why, one line each."


def export(
    network: nn.Module, folder: Path, *, images: Images, source: str, constructor: str, title: str
) -> Exported:
    """Write weights, a loader that stands on its own, and an ONNX file; check each.

    The loader needs torch and safetensors, and Pillow to classify picture files. The ONNX file
    takes normalised images; it is left out, with a note, if `untrained[onnx]` is not installed
    or the network cannot be expressed. Files of the same names are replaced. The network stays as
    it is, wherever it is.

    Args:
        network: maps normalised images (n, c, h, w) to logits (n, classes).
        folder: where to write; made if missing.
        images: the data it was trained on: class names, statistics, shape, and test images to
            compare on.
        source: text of a Python module that needs torch alone and defines the network.
        constructor: expression that builds the untrained network from the names in `source`.
        title: what the network is, on one line.

    Raises:
        ValueError: if source or constructor are not Python, or the source takes names of the
            loader.
        RuntimeError: if the loader or the ONNX file give other logits than the network.
    """
    text = render(images, source, constructor, title)
    copied = deepcopy(network).cpu().eval()
    batches = comparison_batches(images)
    weights, loader = folder / WEIGHTS, folder / LOADER
    folder.mkdir(parents=True, exist_ok=True)
    loader.write_text(text, encoding="utf-8")
    save_model(copied, str(weights))
    weights.chmod(loader.stat().st_mode)  # safetensors hides its files from everyone else
    check_loader(loader, copied, batches)
    onnx, difference, notes = _write_onnx(copied, folder / GRAPH, batches)
    return Exported(folder, weights, loader, onnx, difference, notes)


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
) -> None:
    """Run the loader in this process, leaving no module behind, and compare logits.

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
                f"{loader}: expected the logits of the network, got a difference of "
                f"{difference:g}; constructor and source must build the same network"
            )


def _write_onnx(
    network: nn.Module, path: Path, batches: list[Float32[Tensor, "_ c h w"]]
) -> tuple[Path | None, float | None, tuple[str, ...]]:
    """The file and its largest difference, or None and a note that says why there is none."""
    path.unlink(missing_ok=True)  # one of another network would be worse than none
    if missing := missing_packages():
        note = f"no ONNX file: {', '.join(missing)} not installed; pip install 'untrained[onnx]'"
        return None, None, (note,)
    try:
        return path, export_onnx(network, path, batches), ()
    except torch.onnx.OnnxExporterError as error:
        # The error itself is a page of advice for developers of the exporter.
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        return None, None, (f"no ONNX file: the network cannot be expressed: {reason}",)
    except RuntimeError:
        path.unlink(missing_ok=True)
        raise


def _fill_template(images: Images, source: str, constructor: str, title: str) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["repr"] = repr
    return environment.get_template(LOADER_TEMPLATE).render(
        title=" ".join(title.split()),
        loader=Path(LOADER).stem,
        weights=WEIGHTS,
        source=source.strip(),
        constructor=constructor.strip(),
        classes=images.classes,
        shape=images.shape,
        mean=tuple(images.mean.tolist()),
        std=tuple(images.std.tolist()),
    )


def _check_python(text: str, mode: str, name: str) -> None:
    try:
        ast.parse(text.strip(), mode=mode)
    except SyntaxError as error:
        raise ValueError(
            f"{name}: expected Python, got {error.msg!r} in line {error.lineno}: {text[:80]!r}"
        ) from error


def _largest(values: Float[Tensor, "..."]) -> float:
    return values.abs().max().item()
