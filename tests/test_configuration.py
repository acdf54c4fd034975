"""Configurations: of each command its own flags, printed, kept, read again, and renamed."""

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bad_values import CELL
from parsing import Parse

from untrained.cli import main
from untrained.cli.actions import planned
from untrained.cli.terminal import PRINTED
from untrained.images import Images
from untrained.networks import draw_weights
from untrained.runs import RunConfig, load_record
from untrained.runs.comparing import training_question
from untrained.runs.config import resolve_training
from untrained.runs.presets import resolve
from untrained.runs.setup import make_setups
from untrained.runs.streams import stream
from untrained.runs.tasks import TrainTask, build, train_on
from untrained.spaces import CellScale, get_space
from untrained.training import Recipe, TrainingSpec, train

Printed = Callable[..., str]
SPACE = get_space("nasbench201")


@pytest.fixture
def printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Printed:
    """What a command that ends well prints, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PRINTED, "_width", 200)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["untrained", *words])
        with pytest.raises(SystemExit, match=r"^0$"):
            main()
        return capsys.readouterr().out

    return call


# Each command its own flags

SEARCHES = ("--searcher", "--options", "--proposals", "--train ")
SCORES = ("--scores", "--draws", "--preset", "--score-settings", "--short-training.epochs")
TRAINS = ("--training.recipe", "--training.images", "--compare", "--scale")
HAS = {"search": {*SEARCHES, *SCORES, *TRAINS}, "score": {*SCORES}, "train": {*TRAINS}}


@pytest.mark.parametrize("command", HAS)
def test_help_lists_the_flags_that_a_command_uses(command: str, printed: Printed) -> None:
    shown = printed(command, "--help")
    assert {flag for flag in HAS["search"] if flag in shown} == HAS[command]
    assert shown.index("--images") < shown.index("--workers") < shown.index("--device")


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ("score", "--searcher=random"), ("score", "--options.prune=3"), ("score", "--train"),
        ("score", "--training.epochs=3"), ("score", "--proposals=3"), ("train", "--scores=macs"),
        ("train", "--searcher=given"), ("train", "--draws=3"),
        ("train", "--short-training.epochs=1"),
        ("track", "--workers=1"), ("track", "--scores=macs"), ("track", "--compare=1"),
    ],
)  # fmt: skip
def test_flags_that_a_command_does_not_use_are_refused(
    command: str, flag: str, parse: Parse
) -> None:
    code, error, config = parse(command, CELL, flag)
    assert (code, config) == (2, None)
    assert "Unknown option" in error
    assert flag.partition("=")[0] in error
    assert len(error.strip().splitlines()) == 1


# Printed and read again

ASKED = {
    "search": (),
    "search by name": ("--preset", "released", "--score-settings.linear_regions.count", "7"),
    "search in full": (
        "--searcher", "halving", "--options.factor", "2", "--scores", "label_alignment@3",
        "--score-settings.label_alignment@3.batchnorm", "running", "--time-limit", "2.5",
        "--short-training.images", "99", "--short-training.learning-rate", "1e-3", "--train",
        "--training.recipe", "short", "--training.no-nesterov", "--training.images", "500",
        "--training.flip", "--proposals", "3", "--size", "6", "--out", "a b/c", "--channels", "3",
        "--images", "a'b\"c",
    ),
    "score": (CELL, "--draws", "2", "--scores", "macs", "parameters", "--seed", str(2**63 - 1)),
    "score on some device": (CELL, "--device", "auto"),
    "score after training": (CELL, "--scores", "ntk_norm@2", "--short-training.clip", ".1"),
    "train": (CELL, "--training.epochs", "3", "--compare", "0", "--scale", "small"),
    "track": (CELL, "--training.images", "64", "--support", "0", "--batchnorm", "batch"),
    "track one's own": ("--network", "a.b:c", "--training.recipe", "short", "--device", "auto"),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_what_dry_run_prints_is_read_as_the_same_configuration(
    name: str, printed: Printed, parse: Parse
) -> None:
    command, words = name.split()[0], ASKED[name]
    text = printed(command, *words, "--dry-run")
    assert not list(Path().iterdir())
    Path("run.toml").write_text(text, encoding="utf-8")
    named = words[:1] if command == "track" and words[0] == CELL else ()
    again = (("track", *named) if command == "track" else ("search",)) + ("--config", "run.toml")
    (_, _, asked), (code, error, found) = parse(command, *words), parse(*again)
    assert code == 0, error
    if command == "track":
        assert found.check() == replace(
            asked.check(), training=resolve_training(asked.training)
        ) == replace(found, training=resolve_training(found.training))  # fmt: skip
    else:
        assert planned(found) == planned(asked)
    assert printed(*again, "--dry-run") == text


def test_a_run_keeps_a_configuration_that_leads_to_it(printed: Printed) -> None:
    printed(
        "search", "--searcher", "random", "--options.evaluations", "2", "--scores", "parameters",
        "ntk_norm@0", "--score-settings.ntk_norm@0.channels", "2", "--draws", "1", "--seed", "3",
        "--workers", "0", "--out", "runs",
    )  # fmt: skip
    [kept] = Path("runs").glob("*/config.toml")
    text = kept.read_text(encoding="utf-8")
    before = load_record(Path("runs/store.db"), kept.parent.name)
    printed("search", "--config", str(kept))
    assert list(Path("runs").glob("*/config.toml")) == [kept]
    assert kept.read_text(encoding="utf-8") == text
    assert load_record(Path("runs/store.db"), kept.parent.name).trials == before.trials


def test_a_tracking_keeps_a_configuration_that_leads_to_it(printed: Printed) -> None:
    small = ("--scale", "small", "--probe", "8", "--support", "0", "--held-out", "8")
    printed("track", CELL, *small, "--training.epochs", "1", "--training.images", "64",
            "--out", "runs")  # fmt: skip
    [kept] = Path("runs").glob("*/config.toml")
    asked = shlex.split(kept.read_text(encoding="utf-8").splitlines()[0].removeprefix("# "))
    assert asked == ["untrained", "track", CELL, "--config", "FILE"]
    before = (kept.parent / "snapshots.jsonl").read_bytes()
    printed(*asked[1:-1], str(kept))
    assert list(Path("runs").glob("*/config.toml")) == [kept]
    assert (kept.parent / "snapshots.jsonl").read_bytes() == before


# Renamed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("search", "--settings", "deep"), "--settings is now --preset"),
        (("search", "--batch=4"), "--batch is now --proposals"),
        (("search", "--schooling.batch", "9"), "--schooling.batch is now --short-training.batch"),
        (("score", CELL, "--instruments.condition_number.count=3"),
         "--instruments.condition_number.count is now --score-settings.condition_number.count"),
        (("train", CELL, "--recipe.warm-up", "3"), "--recipe.warm-up is now --training.warm-up"),
        (("search", "--training", "darts_cifar10"), "such as --training.recipe, got"),
        (("track", CELL, "--recipe", "short"), "--recipe is now --training.recipe"),
        (("track", CELL, "--epochs", "3"), "--epochs is now --training.epochs"),
        (("track", CELL, "--batch", "3"), "--batch is now --training.batch"),
        (("track", CELL, "--learning-rate=1"), "--learning-rate is now --training.learning-rate"),
        (("track", CELL, "--subset", "30"), "--subset is now --training.images"),
    ],
)  # fmt: skip
def test_a_flag_of_an_older_version_is_refused_with_its_new_name(
    words: tuple[str, ...], message: str, parse: Parse
) -> None:
    code, error, _ = parse(*words)
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "text", "message"),
    [
        ("search", 'settings = "deep"', "--settings is now --preset"),
        ("search", "batch = 4", "--batch is now --proposals"),
        ("search", "[schooling]\nimages = 9", "--schooling is now --short-training"),
        ("search", "[instruments.condition_number]\ncount = 3",
         "--instruments is now --score-settings"),
        ("search", "[recipe]\nepochs = 3", "--recipe is now --training"),
        ("search", 'training = "darts_cifar10"', "training.recipe"),
        ("track", 'recipe = "short"', "--recipe is now --training.recipe"),
        ("track", "learning_rate = 1.0", "--learning-rate is now --training.learning-rate"),
        ("track", "subset = 30", "--subset is now --training.images"),
    ],
)  # fmt: skip
def test_a_key_of_an_older_version_is_refused_with_its_new_name(
    command: str, text: str, message: str, parse: Parse
) -> None:
    Path("run.toml").write_text(text)
    code, error, _ = parse(
        command, *([CELL] if command == "track" else []), "--config", "run.toml"
    )
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1


# Fewer training images


def test_training_is_on_so_many_images_drawn_by_the_seed(digits: Images, tmp_path: Path) -> None:
    recipe = Recipe(epochs=1)
    task = TrainTask(
        "nasbench201", CELL, CellScale(2, 1), recipe, 100, 3, 1, tmp_path / "t.pt", "cpu"
    )
    found = train_on(task, digits)
    few = replace(digits, train=digits.train.some(100, stream(3, "subset")))
    assert len(few.train) == 100
    network = build("nasbench201", CELL, CellScale(2, 1), digits)
    draw_weights(network, "kaiming_fan_out", stream(3, "training"))
    seen: list[torch.Tensor] = []
    network.register_forward_pre_hook(
        lambda module, shown: seen.append(shown[0]) if module.training else None
    )
    expected = train(network, few, recipe, seed=3)
    assert sum(map(len, seen)) in range(100 - recipe.batch + 1, 101)  # the last batch is whole
    assert [plain(epoch) for epoch in found.training.epochs] == [plain(e) for e in expected.epochs]
    others = (train_on(replace(task, images=count, checkpoint=tmp_path / f"{count}.pt"), digits)
              for count in (99, None))  # fmt: skip
    losses = {trained.training.epochs[0].train_loss for trained in (found, *others)}
    assert len(losses) == 3


def plain(epoch: object) -> dict[str, object]:
    """Everything but the seconds."""
    return {name: value for name, value in vars(epoch).items() if name != "seconds"}


def test_trainings_on_other_numbers_of_images_are_other_questions(digits: Images) -> None:
    configs = [
        resolve(RunConfig(training=TrainingSpec(images=count))) for count in (None, 100, 200)
    ]
    questions = [training_question(config, SPACE, digits) for config in configs]
    assert len({str(question) for question in questions}) == 3
    searches = {config.identity("images", "code") for config in configs}
    assert len(searches) == 1  # what is trained afterwards is no part of the search


# Short training that nothing asks for


@pytest.mark.parametrize("preset", [None, "deep", "lga", "nngp", "paper", "released"])
def test_scores_without_training_need_no_word_about_it(preset: str | None) -> None:
    made = make_setups(SPACE, resolve(RunConfig(preset=preset, scores=("parameters", "macs"))))
    assert [setup.short_training for setup in made] == [None, None]


def test_no_epochs_before_scores_is_none_at_all() -> None:
    asked = RunConfig(scores=("label_alignment", "macs@1"), short_training=TrainingSpec(epochs=0))
    first, second = make_setups(SPACE, resolve(asked))
    assert first.short_training is None
    assert second.epochs == 1
    with pytest.raises(ValueError, match=r"short_training\.epochs: expected .* 0, got -1"):
        resolve(replace(asked, short_training=TrainingSpec(epochs=-1)))
