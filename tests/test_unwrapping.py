"""Wrappers come off; what cannot be measured is refused by name, at every door."""

import copy
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from compare import deviation
from torch import Tensor, nn
from torch.distributed import destroy_process_group, init_process_group
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import distribute_tensor
from torch.jit._trace import TracerWarning
from torch.nn.parallel import DistributedDataParallel
from zoo import Net

from untrained import count_regions, draw_weights, features, nngp
from untrained.images.probe import Probe
from untrained.kernels.ntk import ntk, ntk_contributions, ntk_operator
from untrained.networks.unwrapping import differentiable, eager, unwrapped
from untrained.regions.slices import line_regions, plane_regions
from untrained.scores import SCORES


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2)).eval()


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def drawn(model: nn.Module, x: Tensor) -> Tensor:
    model = copy.deepcopy(model)
    draw_weights(model, "kaiming_fan_in", seeded())
    with torch.no_grad():
        return model(x)


X = torch.randn(40, 3, generator=seeded())
Door = Callable[[nn.Module, Tensor], Any]
SEEING: dict[str, Door] = {
    "count_regions": lambda m, x: torch.tensor(count_regions(m, x).count),
    "line_regions": lambda m, x: line_regions(m, -9 * x[0], 9 * x[1]).breakpoints,
    "plane_regions": lambda m, x: torch.tensor(plane_regions(m, 9 * x[:3]).count),
    "features": lambda m, x: features(m, x).z,
    "nngp": lambda m, x: nngp(m, x, generator=seeded(), draws=2).mean,
    "draw_weights": drawn,
}
AUTOGRAD: dict[str, Door] = {
    "ntk": ntk,
    "ntk_contributions": lambda m, x: torch.stack(list(ntk_contributions(m, x).values())),
    "ntk_operator": lambda m, x: torch.from_numpy(
        ntk_operator(m, x) @ torch.ones(40).double().numpy()
    ),
}
DOORS = SEEING | AUTOGRAD


def in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    model(X[:5])  # so that it is compiled by now
    return model


def forward_by_partial(model: nn.Module) -> nn.Module:
    model.forward = partial(model.forward)
    return model


def in_parallel(model: nn.Module) -> nn.DataParallel[nn.Module]:
    """As where there is no GPU, to which it would take the network otherwise."""
    wrapped = nn.DataParallel(model).cpu()
    wrapped.device_ids = []
    return wrapped


compiled: Any = partial(torch.compile, backend="eager")  # a network for a network
WRAPPERS: dict[str, Callable[[nn.Sequential], nn.Module]] = {
    "torch.compile": compiled,
    "torch.compile twice": lambda m: compiled(in_parallel(compiled(m))),
    "model.compile()": in_place,
    "DataParallel": in_parallel,
    "torch.fx": torch.fx.symbolic_trace,
    "a partial forward": forward_by_partial,
    "a compiled submodule": lambda m: nn.Sequential(compiled(m[:2]), m[2]),
    "a submodule compiled in place": lambda m: nn.Sequential(in_place(m[:2]), m[2]),
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Without torch's deprecations of its own code, and with nothing compiled at the end."""
    with warnings.catch_warnings():
        for kind in (DeprecationWarning, FutureWarning, TracerWarning):
            warnings.simplefilter("ignore", kind)
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor")
        yield
    torch._dynamo.reset()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_change_nothing(wrapper: str, door: str) -> None:
    if "submodule" in wrapper and door in ("nngp", "draw_weights"):
        return  # names of layers are other there, and so are the streams of random numbers
    expected = DOORS[door](plain(), X)
    found = DOORS[door](WRAPPERS[wrapper](plain()), X)
    assert deviation(found.double(), expected.double()) < 1e-6


def test_names_are_those_of_the_network() -> None:
    assert list(ntk_contributions(compiled(plain()), X)) == ["0", "2"]
    assert list(ntk_contributions(in_parallel(plain()), X)) == ["0", "2"]


@pytest.mark.filterwarnings("ignore:DTensor random operators")  # torch 2.6, on the CPU
def test_distributed_networks(tmp_path: Any) -> None:
    init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        wrapped = DistributedDataParallel(plain())
        assert deviation(ntk(wrapped, X), ntk(plain(), X)) < 1e-6
        assert count_regions(wrapped, X) == count_regions(plain(), X)
        sharded = nn.Linear(3, 2)
        mesh = init_device_mesh("cpu", (1,))
        sharded.weight = nn.Parameter(distribute_tensor(sharded.weight.detach(), mesh))
        for door in (ntk, count_regions, features):
            with pytest.raises(ValueError, match="'weight' is a DTensor: expected it whole"):
                door(sharded, X)
    finally:
        destroy_process_group()


def test_compiled_functions_run_as_written() -> None:
    kink = compiled(lambda h: torch.relu(h) * 2)
    model = Net(lambda m, x: kink(m.layer(x)), layer=nn.Linear(3, 5))
    with torch.no_grad():
        model(X)
    same = Net(lambda m, x: torch.relu(m.layer(x)) * 2, layer=model.layer)
    assert count_regions(model, X) == count_regions(same, X)
    assert deviation(ntk(model, X), ntk(same, X)) < 1e-6


def test_compilation_is_back_afterwards() -> None:
    count = torch._dynamo.testing.CompileCounter()
    model = torch.compile(plain(), backend=count)
    with eager():
        model(X)
    assert count.frame_count == 0
    model(X)
    assert count.frame_count == 1


# What is refused


def scripted() -> nn.Module:
    return torch.jit.script(plain())


def kink(x: Tensor) -> Tensor:
    return torch.relu(x)


class HeldScript(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.kink = nn.Linear(3, 5), torch.jit.script(kink)

    def forward(self, x: Tensor) -> Tensor:
        return self.kink(torch.relu(self.layer(x)))


SCRIPTS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "scripted": (scripted, r"the network \(Sequential\) is TorchScript"),
    "traced": (lambda: torch.jit.trace(plain(), X), r"the network \(Sequential\) is TorchScript"),
    "frozen": (
        lambda: torch.jit.freeze(scripted(), preserved_attrs=["training"]),
        r"the network \(Sequential\) is TorchScript",
    ),
    "a scripted part": (
        lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU(), scripted()),
        r"the module '2' \(Sequential\) is TorchScript",
    ),
    "a scripted function": (HeldScript, r"'kink' of the network \(HeldScript\) is TorchScript"),
}


@pytest.mark.parametrize("door", SEEING)
@pytest.mark.parametrize("name", SCRIPTS)
def test_torchscript_is_refused_where_calls_must_be_seen(name: str, door: str) -> None:
    build, words = SCRIPTS[name]
    call = SEEING[door] if door != "draw_weights" else partial_draw
    with pytest.raises(ValueError, match=words):
        call(build(), X)


def partial_draw(model: nn.Module, x: Tensor) -> None:
    draw_weights(model, "kaiming_fan_in", seeded())


@pytest.mark.parametrize("door", AUTOGRAD)
@pytest.mark.parametrize("name", ["scripted", "traced"])
def test_torchscript_has_an_ntk(name: str, door: str) -> None:
    model = SCRIPTS[name][0]()
    state = copy.deepcopy(model.state_dict())
    found = AUTOGRAD[door](model, X)
    assert deviation(found, AUTOGRAD[door](plain(), X)) < 1e-5
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["a scripted part", "a scripted function"])
def test_torchscript_inside_a_network_has_an_ntk(name: str) -> None:
    torch.manual_seed(1)
    model = SCRIPTS[name][0]()
    assert deviation(ntk(model, X), ntk(model, X, method="loop")) < 1e-5


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh())


def test_torchscript_with_batchnorm() -> None:
    model = normalised()
    model(10 * X)
    script = torch.jit.script(model)
    assert deviation(ntk(script, X), ntk(model, X)) < 1e-5
    for policy in ("batch", "frozen"):
        with pytest.raises(ValueError, match=r"with BatchNorm, which .* cannot reach"):
            ntk(script, X, batchnorm=policy)
    without = torch.jit.script(plain())
    assert deviation(ntk(without, X, batchnorm="frozen"), ntk(plain(), X)) < 1e-5


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(4), nn.Dropout(), nn.Dropout(inplace=True)])
def test_what_was_traced_in_training_mode(layer: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(3, 4), layer).train()
    script = torch.jit.trace(model, X, check_trace=False)
    with pytest.raises(ValueError, match="traced in training mode"):
        ntk(script, X)


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(plain(), {nn.Linear})


def partly_quantised() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    return nn.Sequential(model[:2], torch.ao.quantization.quantize_dynamic(model, {nn.Linear}))


def exported(model: nn.Module) -> Any:
    return torch.export.export(model, (X,), strict=False)  # the default from torch 2.7 on


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "exported": (lambda: exported(plain()).module(), "is an exported program"),
    "an exported part": (
        lambda: nn.Sequential(exported(plain()).module(), nn.ReLU()),
        r"the module '0' \(GraphModule\) is an exported program",
    ),
    "unflattened": (
        lambda: torch.export.unflatten(exported(plain())), "is an exported program",
    ),
    "make_fx": (
        lambda: torch.fx.experimental.proxy_tensor.make_fx(plain())(X), "is an exported program",
    ),
    "quantised": (quantised, r"the module '0' \(Linear\) is quantised"),
    "partly quantised": (partly_quantised, r"the module '1.0' \(Linear\) is quantised"),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(3)), r"'0.weight' has no numbers yet"),
    "meta": (lambda: nn.Linear(3, 2, device="meta"), r"'weight' has no numbers yet"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_everywhere(name: str) -> None:
    build, words = REFUSED[name]
    model = build()
    for door, call in DOORS.items():
        with pytest.raises(ValueError, match=words):
            (partial_draw if door == "draw_weights" else call)(model, X)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (partial(plain()), "partial"),
        (torch.relu, "builtin_function_or_method"),
        (plain().forward, "method"),
        (None, "NoneType"),
        ("resnet18", "str"),
    ],
)
def test_what_is_no_network(model: Any, kind: str) -> None:
    for call in (unwrapped, partial(differentiable, batchnorm="running")):
        with pytest.raises(ValueError, match=f"expected a network as nn.Module, got {kind};"):
            call(model)


def test_an_exported_program_is_no_network() -> None:
    with pytest.raises(ValueError, match=r"got ExportedProgram; .* the network that it was made"):
        unwrapped(exported(plain()))


@pytest.mark.parametrize("name", ["linear_regions", "ntk_trace"])
def test_scores(name: str) -> None:
    def network() -> nn.Module:
        return nn.Sequential(nn.Flatten(), plain())

    probe = Probe(X[:, :, None, None], torch.arange(40) % 2, 2, "noise")
    expected = SCORES[name]()(network(), probe, seeded())
    assert expected.value is not None
    assert SCORES[name]()(compiled(network()), probe, seeded()) == expected


def test_scores_say_why_they_have_no_number() -> None:
    probe = Probe(X[:, :, None, None], torch.arange(40) % 2, 2, "noise")
    script = nn.Sequential(nn.Flatten(), torch.jit.script(plain()))
    found = SCORES["linear_regions"]()(script, probe, seeded())
    assert found.value is None
    assert "is TorchScript" in found.reason
