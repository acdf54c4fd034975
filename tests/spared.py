"""What takes seconds, and is left out of tests that are about something else."""

from importlib import import_module

import pytest

from untrained.training.graphs import Graphs


def spare_graphs(patch: pytest.MonkeyPatch) -> None:
    """Exports without ONNX and `torch.export`: tracing a network takes seconds."""
    module = import_module("untrained.training.export")  # the package has a function of this name
    patch.setattr(module, "write_graphs", lambda *_: Graphs(None, None))
