"""Beginning from the weights of a file."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from test_comparing import asked, told
from test_training import same_bits, small_network, weights
from torch import nn

from untrained.runs import load_record, run
from untrained.spaces.pretrained import load_weights


def written(path: Path, network: nn.Module) -> Path:
    if path.suffix == ".safetensors":
        save_file(network.state_dict(), path)
    elif path.stem == "wrapped":
        torch.save({"epoch": 3, "state_dict": network.state_dict()}, path)
    else:
        torch.save(network.state_dict(), path)
    return path


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "wrapped.pth"])
def test_all_weights_and_statistics_are_those_of_the_file(name: str, tmp_path: Path) -> None:
    trained, network = small_network(1), small_network(2)
    trained.state_dict()["1.running_mean"] += 3
    assert load_weights(network, written(tmp_path / name, trained)) == ()
    assert same_bits(weights(network), weights(trained))


def test_a_classifier_for_other_classes_keeps_its_own(tmp_path: Path) -> None:
    trained, network = small_network(1), small_network(2)
    trained[9] = nn.Linear(32 * 16, 7)
    before = weights(network)
    left = load_weights(network, written(tmp_path / "w.safetensors", trained))
    assert left == ("9.weight", "9.bias")
    assert torch.equal(network.state_dict()["9.weight"], before["9.weight"])
    assert torch.equal(network.state_dict()["4.weight"], trained.state_dict()["4.weight"])


def test_files_of_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    torch.save(Path("a"), tmp_path / "code.pt")
    torch.save(3, tmp_path / "number.pt")
    for name in ("text.pt", "text.safetensors", "code.pt", "number.pt"):
        with pytest.raises(ValueError, match=f"{name}: expected (a .safetensors file|tensors by)"):
            load_weights(small_network(), tmp_path / name)
    other = written(tmp_path / "other.pt", nn.Linear(3, 2))
    with pytest.raises(
        ValueError, match="expected weights of this network, but for a head of other classes"
    ):
        load_weights(small_network(), other)
    with pytest.raises(ValueError, match=r"No such file|FileNotFoundError"):
        load_weights(small_network(), tmp_path / "none.pt")


@pytest.mark.usefixtures("without_graphs")
def test_a_run_begins_with_what_another_exported(tmp_path: Path) -> None:
    first = run(asked(tmp_path, compare=0))
    second = run(asked(tmp_path, compare=1, weights=first.network / "weights.safetensors"))
    assert second != first
    (scratch,), (tuned, beside) = (load_record(f.store, f.name).trainings for f in (first, second))
    assert tuned.architecture == scratch.architecture
    assert tuned.epochs[0].train_loss < scratch.epochs[0].train_loss
    assert beside.role == "random"
    alone = run(asked(tmp_path, compare=1))
    assert told(alone)[1] == told(second)[1]  # the same training, from its own weights
