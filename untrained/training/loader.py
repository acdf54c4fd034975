"""The text of `network.py`: a Python file that builds a trained network without this library."""

import ast
from pathlib import Path

import jinja2

from untrained.images.dataset import Images

LOADER = "network.py"
WEIGHTS = "weights.safetensors"
TEMPLATE = "loader.py.j2"
PICTURES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"Channels that pictures have -> their mode in Pillow; other networks take arrays alone."


def render(images: Images, source: str, constructor: str, title: str) -> str:
    """Text of the loader.

    Args:
        images: class names, statistics and shape.
        source: text of a Python module that needs torch alone and defines the network.
        constructor: expression that builds the untrained network from the names in `source`.
        title: what the network is, on one line.

    Raises:
        ValueError: source or constructor are not Python, or the source takes names of the loader.
    """
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


def readable(text: str) -> str:
    r"""Text on one line, with what cannot be printed as its escape.

    Example:
        >>> readable("an\x1b \n été")
        'an\\x1b été'
    """
    printable = (c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
    return "".join(printable)


def template(name: str) -> jinja2.Template:
    """A template beside this file; a name that is not given is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["repr"] = repr
    environment.filters["readable"] = readable
    return environment.get_template(name)


def _fill_template(images: Images, source: str, constructor: str, title: str) -> str:
    return template(TEMPLATE).render(
        title=title,
        example="picture.png" if images.shape[0] in PICTURES else "array.npy",
        pictures=images.shape[0] in PICTURES,
        modes=PICTURES,
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


def _check_python(text: str, mode: str, name: str) -> None:
    try:
        ast.parse(text.strip(), mode=mode)
    except SyntaxError as error:
        raise ValueError(
            f"{name}: expected Python, got {error.msg!r} in line {error.lineno}: {text[:80]!r}"
        ) from error
