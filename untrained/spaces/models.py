"""Models that somebody names, as a space: each is an architecture, and there is nothing to search.

So a model of one's own is measured, kept and trained as any architecture is.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NoReturn
from urllib.parse import quote, unquote

from torch import nn

from untrained.memory import memory_of
from untrained.spaces.calling import bytes_of, call_maker, check_takes
from untrained.spaces.graph import CellGraph
from untrained.spaces.loading import HERE, load_maker
from untrained.spaces.model_source import source_of_model
from untrained.spaces.pretrained import load_weights
from untrained.spaces.space import Architecture, Scale, Shape, Sources, Space

BUILT = "built"
"In place of a file: the weights that the model is built with are those that it has learnt."
PLAIN = "/:.~+,@*?[]"
"What a text form holds as it is, beside letters, digits, `_` and `-`; no space and no `=`."


@dataclass(frozen=True, order=True)
class Model(Architecture):
    """A model by its import path; with the weights that it has learnt, if any."""

    path: str
    "`my_nets:small`, `my_nets:NETS.small`, `timm:resnet18`; `here:NAME` of this process."
    weights: str = ""
    "A file of weights, or `built`; empty where weights are drawn at random."

    def __str__(self) -> str:
        texts = (self.path, self.weights) if self.weights else (self.path,)
        return "=".join(quote(text, safe=PLAIN) for text in texts)

    @property
    def file(self) -> Path | None:
        """The file of its weights."""
        return None if self.weights in ("", BUILT) else Path(self.weights)


def parse_model(text: str) -> Model:
    """The model of a text form, which need not exist.

    Raises:
        ValueError: another form.

    Example:
        >>> parse_model("my_nets:small=weights.pt")
        Model(path='my_nets:small', weights='weights.pt')
    """
    path, marked, weights = map(unquote, text.partition("="))
    module, _, name = path.partition(":")
    if not module or not name or (marked and not weights):
        raise ValueError(
            f"model: expected package.module:name, such as my_nets:small or timm:resnet18, with "
            f"=FILE at its end for weights that it has learnt, got {text!r}"
        )
    return Model(path, weights)


class Models(Space[Model]):
    """Whatever can be imported and gives a module for images of some shape and classes."""

    name: ClassVar = "models"
    scales: ClassVar = dict.fromkeys(("full", "narrow", "small", "thin"), Scale())
    initial_weights: ClassVar = "as_built"

    def parse(self, text: str) -> Model:
        """The model; it must be there, and so must its file."""
        model = parse_model(text)
        load_maker(model.path)
        if model.file is not None and not model.file.is_file():
            raise ValueError(
                f"model {model.path!r}: expected a file of weights, or {BUILT} for those that it "
                f"is built with, got {model.weights!r}, where there is none"
            )
        return model

    def build(
        self, architecture: Model, scale: Scale, *, inputs: Shape, classes: int
    ) -> nn.Module:
        """The model, which takes such images and gives so many logits.

        Raises:
            ValueError: it does something else, or does not fit its file of weights.
            MemoryError: its parameters alone take more than there is.
        """
        path, maker = architecture.path, load_maker(architecture.path)
        size, most = bytes_of(maker, inputs=inputs, classes=classes) or 0, memory_of("cpu")
        if size > most:
            raise MemoryError(
                f"model {path!r}: its parameters take {size / 2**30:,.1f} GiB, and there are "
                f"{most / 2**30:,.1f}"
            )
        network = call_maker(path, maker, inputs=inputs, classes=classes)
        check_takes(path, network, inputs, classes)
        if architecture.file is not None:
            load_weights(network, architecture.file)
        return network

    def sources(self, architecture: Model) -> Sources:
        module, file = architecture.path.partition(":")[0], architecture.file
        return Sources((module,) if module != HERE else (), (file,) if file else ())

    def canonical(self, architecture: Model) -> Model:
        return architecture

    def graphs(self, architecture: Model) -> tuple[CellGraph, ...]:
        return ()

    def sample(self, rng: random.Random) -> Model:
        self._refuse("drawn at random")

    def neighbours(self, architecture: Model) -> tuple[Model, ...]:
        self._refuse("altered")

    def enumerate(self) -> Iterator[Model]:
        self._refuse("enumerated")

    def export(
        self, architecture: Model, scale: Scale, *, inputs: Shape, classes: int
    ) -> tuple[str, str]:
        return source_of_model(architecture.path, inputs=inputs, classes=classes)

    def _refuse(self, what: str) -> NoReturn:
        raise ValueError(
            f"models that somebody names cannot be {what}: expected another space than "
            f"{self.name!r}; try untrained rank"
        )
