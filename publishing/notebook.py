"""Executes the notebook of `examples` as Jupyter would, and makes a page of it with its outputs.

`python publishing/notebook.py OUT.ipynb` keeps the executed notebook, to look at.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

SOURCE = Path(__file__).parents[1] / "examples" / "kernels.ipynb"


def executed() -> NotebookNode:
    """The notebook with its outputs; a cell that raises ends it."""
    notebook = nbformat.read(SOURCE, as_version=4)
    client = NotebookClient(notebook, timeout=300)
    client.create_kernel_manager().transport = "ipc"  # no port is opened
    return client.execute()


def page(notebook: NotebookNode) -> str:
    """Markdown: cells as they are, below each what it shows."""
    return "\n\n".join(part for cell in notebook.cells for part in parts(cell)) + "\n"


def parts(cell: NotebookNode) -> Iterator[str]:
    if cell.cell_type == "markdown":
        yield cell.source
        return
    yield fenced("python", cell.source)
    yield from map(shown, cell.outputs)


def shown(output: NotebookNode) -> str:
    """What a reader of the notebook sees: the richest form of an output that a page can hold."""
    if output.output_type == "stream":
        return fenced("text", output.text.rstrip())
    forms = output.data
    if "image/png" in forms:
        return f"![What the cell draws](data:image/png;base64,{forms['image/png'].strip()})"
    if "text/html" in forms:
        return f"<div>\n{forms['text/html']}\n</div>"
    return fenced("text", forms["text/plain"])


def fenced(kind: str, text: str) -> str:
    return f"```{kind}\n{text}\n```"


if __name__ == "__main__":
    nbformat.write(executed(), Path(sys.argv[1]))
