"""A GPU gives what the CPU does: kernels over the zoo, scores, searches, training."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import zoo
from away_cases import CASES, images, wrong
from compare import deviation
from test_cli import CELL, QUICK, Command, command
from test_ntk_methods import CANNOT_FOLLOW, choice, jacobian, truth
from test_runs import quick
from torch import nn

from untrained import draw_weights, ntk, spectrum
from untrained.images import Images
from untrained.kernels.choice import METHODS, Method
from untrained.memory import memory_of
from untrained.runs import load_record, run
from untrained.training import Recipe, evaluate, train_short

__all__ = ["command"]  # a fixture

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS"),  # the first in a thread
]
CUDA = torch.device("cuda", 0)
INEXACT = {"weight norm": 1e-7}
"Where torch's own function rounds float64 on a GPU."
SCORES = ("condition_number", "linear_regions", "nngp_leave_one_out", "parameters")


@pytest.mark.parametrize("name", CASES)
def test_the_gpu_gives_what_the_cpu_does(name: str) -> None:
    assert not wrong(CASES[name], images(), CUDA, nullcontext)


@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize("name", zoo.ZOO)
def test_kernels_of_the_zoo(name: str, method: Method) -> None:
    if (name, method) in CANNOT_FOLLOW:
        pytest.skip("torch has no rule")
    model, x = zoo.make(name)
    for output in ("sum", "full"):
        asked = choice(output, jacobian(name).shape[1])
        found = ntk(model.to(CUDA), x.to(CUDA), method=method, output=asked)
        assert found.device == CUDA
        assert deviation(found.cpu(), truth(name, output)) < INEXACT.get(name, 1e-9)


@pytest.mark.parametrize("allowed", [False, True])
def test_convolutions_are_in_full_float32(allowed: bool) -> None:
    """TF32, which cuDNN takes by default, is off by one in a thousand."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 64, 3), nn.Tanh(), nn.Conv2d(64, 64, 3), nn.Flatten(), nn.Linear(64 * 144, 3)
    )
    x = torch.randn(6, 3, 16, 16)
    expected = ntk(model.double(), x.double())
    was = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    try:
        model = model.float().to(CUDA)
        for method in ("structured", "vmap", "loop"):
            assert deviation(ntk(model, x.to(CUDA), method=method).cpu(), expected) < 2e-6
    finally:
        torch.set_float32_matmul_precision(was)


def test_weights_are_those_of_the_cpu() -> None:
    made = []
    for device in ("cpu", CUDA):
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(4, 2)).to(device)
        for method in ("kaiming_fan_out", "orthogonal", "torch_default"):
            draw_weights(model, method, torch.Generator().manual_seed(1))
            made.append([p.detach().cpu().clone() for p in model.parameters()])
    for a, b in zip(made[:3], made[3:], strict=True):
        assert all(map(torch.equal, a, b))


def test_memory_stays_below_its_ceiling() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.Flatten(),
                          nn.Linear(32 * 28 * 28, 10)).to(CUDA)  # fmt: skip
    x = torch.randn(64, 3, 32, 32, device=CUDA)
    ntk(model, x[:2])
    whole = ntk(model, x)
    for ceiling in (2**27, 2**28):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        theta = ntk(model, x, memory=ceiling)
        assert torch.cuda.max_memory_allocated() - before < ceiling
        assert deviation(theta, whole) < 1e-5


def test_running_out_of_memory_is_told_as_such() -> None:
    """Not as what a network does to a method."""
    torch.cuda.set_per_process_memory_fraction(2**28 / memory_of("cuda"))
    try:
        with pytest.raises(torch.cuda.OutOfMemoryError):
            ntk(nn.Linear(2**14, 2**12).to(CUDA), torch.randn(2, 2**14, device=CUDA))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_the_spectrum_of_a_gpu_kernel_is_resolved_as_on_the_cpu() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1)), torch.randn(20, 8)
    there = spectrum(ntk(model.to(CUDA), x.to(CUDA))).condition_number
    here = spectrum(ntk(model.cpu(), x)).condition_number
    assert there == pytest.approx(here, rel=1e-3)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_search_there_gives_what_it_gives_here(tmp_path: Path, workers: int) -> None:
    frames = []
    for device in ("cpu", "cuda"):
        folder = run(quick(tmp_path / device, workers=workers, device=device, scores=SCORES))
        record = load_record(folder.store, folder.name)
        assert not [r for t in record.trials for c in t.readings.values() for r in c if r.reason]
        frames.append(record.frame())
    here, there = frames
    assert here["architecture"].to_list() == there["architecture"].to_list()
    for name in SCORES:
        assert there[name].to_list() == pytest.approx(here[name].to_list(), rel=0.02), name


def test_commands(command: Command) -> None:
    code, out, told = command(
        "search", *QUICK, "--device", "cuda", "--train", "--compare", "1", "--json",
        "--training.epochs", "2", "--training.precision", "mixed", "--scale", "small",
    )  # fmt: skip
    assert code == 0, told
    found = json.loads(out)
    assert found["selected"], found
    code, _, told = command("track", CELL, "--device", "cuda", "--training.epochs", "1",
                            "--probe", "32", "--training.images", "200")  # fmt: skip
    assert code == 0, told


def test_training_learns(digits: Images) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(),
                          nn.Linear(16 * 36, 10))  # fmt: skip
    train_short(model, digits, Recipe(epochs=3, batch=32), device="cuda")
    assert evaluate(model, digits.test, digits, device="cuda").accuracy > 0.85
