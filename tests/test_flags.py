"""Flags: every value is of its type or refused by name, and what is given is heeded."""

import random
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from bad_values import TEXTS, VALUES, Key, every_key, is_of, means
from parsing import Parse

from untrained.runs import RunConfig
from untrained.runs.presets import resolve
from untrained.runs.setup import make_setups
from untrained.spaces import get_space
from untrained.tracking.config import TrackConfig
from untrained.training import TrainingSpec

KEYS = every_key()


def assert_right(key: Key, written: Any, answer: tuple[int, str, Any]) -> None:
    """Refused in one line that names the key, or taken for what was written."""
    code, error, config = answer
    if code == 0:
        value = key.of(config)
        assert is_of(key.hint, value), (key, written, value)
        assert means(value, written), (key, written, value)
        return
    lines = [line for line in error.splitlines() if line.strip()]
    assert code == 2
    assert len(lines) == 1, (key, written, lines)
    assert any(name in lines[0] for name in key.names()), (key, written, lines)


def tried(share: float, seed: int = 0) -> list[tuple[Key, Any, bool]]:
    """Each flag of one name with a text or a value, and a share of the others; all with 1.0."""
    rng = random.Random(seed)
    found = []
    for i, key in enumerate(KEYS):
        if len(key.path) == 1 or key.path[0] == "training" or rng.random() < share:
            in_file = i % 2 == 0
            found.append((key, rng.choice(VALUES if in_file else TEXTS), in_file))
    return found


@pytest.mark.parametrize(
    ("key", "written", "in_file"), tried(0.06), ids=lambda of: getattr(of, "flag", None)
)
def test_every_flag_and_key_has_its_type_or_is_refused_by_name(
    key: Key, written: Any, in_file: bool, parse: Parse
) -> None:
    if in_file:
        Path("run.toml").write_text(key.as_file(written))
        answer = parse(*key.command, *key.beside, "--config", "run.toml")
    else:
        answer = parse(*key.as_flag(written))
    assert_right(key, written, answer)


def test_every_field_is_tried() -> None:
    """The generator walks what there is: a new field is tried without a line here."""
    paths = {(key.command[0], *key.path) for key in KEYS}
    for command, kind in (("search", RunConfig), ("track", TrackConfig)):
        for field in fields(kind):
            tables = {"options", "score_settings", "short_training", "training", "calibration"}
            assert field.name in tables or (command, field.name) in paths
        spec = {field.name for field in fields(TrainingSpec)}
        assert {(command, "training", name) for name in spec} <= paths
    assert {("search", "short_training", name) for name in spec} <= paths


WHOLE = ("--seed", "--draws", "--size", "--training.epochs")


@pytest.mark.parametrize("flag", WHOLE)
@pytest.mark.parametrize("text", ["1.5", "1.0", "1e3", "true", "nan", "", "1_0", "0x1", "none"])
def test_no_number_is_rounded_or_guessed(flag: str, text: str, parse: Parse) -> None:
    code, error, _ = parse("search", f"{flag}={text}")
    assert code == 2
    assert f"{flag}: expected a whole number, got {text!r}" in error


@pytest.mark.parametrize(
    ("words", "config"),
    [
        (("--seed", "3"), RunConfig(seed=3)),
        (("--draws=3", "--searcher=pruning"), RunConfig(draws=3, searcher="pruning")),
        (("--scores", "macs", "parameters"), RunConfig(scores=("macs", "parameters"))),
        (("--training.learning_rate", "1"), RunConfig(training=TrainingSpec(learning_rate=1.0))),
        (("--training.no-flip",), RunConfig(training=TrainingSpec(flip=False))),
        (("--training.no-crop", "--no-train"), RunConfig(training=TrainingSpec(crop=False))),
        (("--options.prune", "2", "--options.common", "false"),
         RunConfig(options={"prune": 2, "common": False})),
        (("--score-settings.macs.scale", "small", "--scores", "macs"),
         RunConfig(scores=("macs",), score_settings={"macs": {"scale": "small"}})),
        (("--out", "~/a?b%20c"), RunConfig(out=Path("~/a?b%20c"))),
    ],
)  # fmt: skip
def test_flags(words: tuple[str, ...], config: RunConfig, parse: Parse) -> None:
    assert parse("search", *words) == (0, "", config)


def test_settings_of_a_score_of_ones_own(parse: Parse) -> None:
    """Its name has a dot, and what would be a number may be a text."""
    Path("theirs.py").write_text(
        "from dataclasses import dataclass\n"
        "from untrained.scores.size import Parameters\n"
        "@dataclass(frozen=True)\n"
        "class Mine(Parameters):\n"
        "    label: str = ''\n"
        "    power: float = 1.0\n"
    )
    Path("run.toml").write_text('[score_settings."theirs:Mine"]\npower = 2\nlabel = "x"\n')
    asked = ("search", "--scores", "theirs:Mine", "--config", "run.toml")
    code, error, config = parse(*asked, "--score-settings.theirs:Mine.label", '"7"')
    assert (code, error) == (0, "")
    assert config.score_settings == {"theirs:Mine": {"label": "7", "power": 2}}
    _, error, _ = parse(*asked, "--score-settings.theirs:Mine.label", "7")
    assert "theirs:Mine.label: expected text, got 7" in error
    _, _, config = parse("search", "--score-settings.a.b:C.count", "7")
    assert config.score_settings == {"a.b:C": {"count": 7}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--options", "3"), "--options: expected --options.NAME with a value"),
        (("--options.a.b", "3"), "--options.a.b: expected --options.SETTING"),
        (("--options.a", "3", "--options.a.b", "3"), "--options.a"),
        (("--options.", "3"), "--options.: expected --options.SETTING"),
        (("--score-settings", "3"), "--score-settings: expected"),
        (
            ("--score-settings.macs", "3"),
            "--score-settings.macs: expected --score-settings.NAME.SETTING",
        ),
        (
            ("--score-settings.macs", "3", "--score-settings.macs.count", "3"),
            "--score-settings.macs",
        ),
        (
            ("--score-settings.macs.count", "3", "--score-settings.macs.count.x", "3"),
            "macs.count: exp",
        ),
        (
            ("--training", "3"),
            "--training: expected --training.NAME with a value, such as --training.recipe, got",
        ),
        (("--training", '{"epochs": 1.5}'), "epochs]: expected a whole number, got '1.5'"),
        (("--training.flip=none",), "--training.flip: expected true or false, got none"),
        (("--train=7",), "--train"),
        (("--train", "true"), "true"),
        (("--seed", "1", "--seed", "2"), "--seed"),
        (("--seed", "-1"), "seed: expected a number of at least 0, got -1"),
        (("--seed", str(2**63)), "seed: expected a number of at most 9223372036854775807"),
        (("--draws", "10001"), "draws: expected a number of at most 10000, got 10001"),
        (("--workers", str(2**31)), "workers: expected a number of at most"),
        (("--training.batch", str(2**31)), "batch: expected a whole number of 2 or more"),
        (("--scores",), "scores: expected at least one"),
        (("--scores", "macs", "macs"), "scores: expected each once, got 'macs' twice"),
        (("--scores", "macs@1.5"), "macs@1.5: expected a number of epochs after @, got '1.5'"),
        (("--scores", "macs@01"), "expected a number of epochs after @, got '01'"),
        (("--scores", "macs@"), "expected a number of epochs after @, got ''"),
        (("--images", ""), "images: expected a name, a file or a folder, got ''"),
        (("--out", ""), "--out: expected a path (. for the working folder) or a URL, got ''"),
        (("--config", ""), "--config: expected a path"),
        (("--training.recipe", ""), "training.recipe: unknown recipe ''"),
        (("--searcher", "reinforce", "--options.momentum", "1"), "options.momentum: expected"),
        (("--searcher", "halving", "--options.factor", "1"), "factor: expected"),
        (("--searcher", "given"), "--options.architectures"),
    ],
    ids=str,
)
def test_what_no_value_can_be_read_of(words: tuple[str, ...], message: str, parse: Parse) -> None:
    code, error, _ = parse("search", *words)
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not Path("untrained-runs").exists()


# An @ beside epochs


@pytest.mark.parametrize("named", ["label_alignment", "label_alignment@2"])
@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        (3, "expected 2, as the name says, or nothing, got 3"),
        (0, "expected 2, as the name says, or nothing, got 0"),
        ("abc", "expected a whole number, got 'abc'"),
        (2.0, "expected a whole number, got 2.0"),
        (True, "expected a whole number, got True"),
        (2, None),
    ],
)
def test_epochs_beside_those_of_the_name(named: str, epochs: Any, message: str | None) -> None:
    asked = RunConfig(scores=("label_alignment@2",), score_settings={named: {"epochs": epochs}})
    space = get_space("nasbench201")
    if message is None:
        (made,) = make_setups(space, resolve(asked))
        assert made.epochs == 2
        return
    with pytest.raises(ValueError, match=f"label_alignment@2.epochs: {message}"):
        make_setups(space, resolve(asked))


def test_epochs_of_the_score_itself_are_not_those_of_the_one_with_a_number() -> None:
    asked = RunConfig(
        scores=("label_alignment", "label_alignment@2"),
        score_settings={"label_alignment": {"epochs": 3, "batch": 16}},
    )
    three, two = make_setups(get_space("nasbench201"), resolve(asked))
    assert (three.epochs, two.epochs) == (3, 2)
    assert two.short_training is not None
    assert two.short_training.recipe.batch == 16


# Values of Python


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (RunConfig(), {"seed": 1.5}),
        (RunConfig(), {"seed": True}),
        (RunConfig(), {"scores": "macs"}),
        (RunConfig(), {"scores": ("macs", 3)}),
        (RunConfig(), {"options": {"prune": None}}),
        (RunConfig(), {"train": 1}),
        (RunConfig(), {"out": 3}),
        (RunConfig(), {"training": {"epochs": 3}}),
        (RunConfig(training=TrainingSpec()), {"training.epochs": 1.5}),
        (TrackConfig(), {"seed": 1.5}),
        (TrackConfig(training=TrainingSpec()), {"training.epochs": "3"}),
        (TrackConfig(), {"batchnorm": "none"}),
        (TrackConfig(training=TrainingSpec()), {"training.learning_rate": float("nan")}),
        (TrackConfig(training=TrainingSpec()), {"training.images": 1}),
        (TrackConfig(), {"probe": 1}),
        (TrackConfig(), {"images": ""}),
    ],
    ids=str,
)
def test_values_of_another_type_are_refused_in_python_too(
    asked: RunConfig | TrackConfig, message: dict[str, Any]
) -> None:
    ((path, value),) = message.items()
    *within, name = path.split(".")
    place: Any = asked
    for each in within:
        place = getattr(place, each)
    object.__setattr__(place, name, value)  # past the constructor, whose types a hook checks
    with pytest.raises(ValueError, match=rf"^{path}.*: expected .*, got"):
        asked.check() if isinstance(asked, TrackConfig) else resolve(asked)


def test_a_score_that_cannot_be_hashed_is_refused(parse: Parse) -> None:
    Path("unhashed.py").write_text(
        "from untrained.scores.score import Score\n"
        "class Mine(Score):\n"
        "    higher_is_better = True\n"
        "    def __eq__(self, other): return True\n"
        "    def __call__(self, network, probe, generator): ...\n"
    )
    asked = RunConfig(scores=("unhashed:Mine",))
    with pytest.raises(ValueError, match=r"write @dataclass\(frozen=True\)"):
        make_setups(get_space("nasbench201"), resolve(asked))
