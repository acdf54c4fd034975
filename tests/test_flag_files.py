"""TOML files of flags: read strictly, and less heeded than flags, key by key."""

from pathlib import Path

import pytest
from parsing import Parse

from untrained.runs import RunConfig
from untrained.runs.presets import resolve
from untrained.training import TrainingSpec, get_recipe


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("train = true", RunConfig(train=True)),
        ("\ufefftrain = true", RunConfig(train=True)),
        ("training.epochs = 20", RunConfig(training=TrainingSpec(epochs=20))),
        ("[training]\nlearning-rate = 1", RunConfig(training=TrainingSpec(learning_rate=1.0))),
        ("training = {warm_up = 0}", RunConfig(training=TrainingSpec(warm_up=0))),
        ('scores = ["macs"]', RunConfig(scores=("macs",))),
        ("options = {}", RunConfig()),
        ('out = "a?b"', RunConfig(out=Path("a?b"))),
        ("seed = 0x10", RunConfig(seed=16)),
    ],
)
def test_a_file(text: str, config: RunConfig, parse: Parse) -> None:
    Path("run.toml").write_text(text, encoding="utf-8")
    assert parse("search", "--config", "run.toml") == (0, "", config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"train = 7", "run.toml: train: expected true or false, got 7"),
        (b'train = "true"', "train: expected true or false, got 'true'"),
        (b"search = 1", 'Unknown option: "[search]"'),
        (b"score = true", 'Unknown option: "[score]"'),
        (b"report = 'x'", 'Unknown option: "[report]"'),
        (b"[search]\nseed = 1", "search: expected no table of this name, got one; flags are at"),
        (b"[train]\nseed = 1", "train: expected true or false, got {'seed': 1}"),
        (b"training = 3", "training: expected a table, such as training.recipe, got 3"),
        (
            b"[[training]]\nepochs = 3",
            "training: expected a table, such as training.recipe, got [{",
        ),
        (b"[training]\nepoch = 3", 'Unknown option: "[training][epoch]"'),
        (b"[training.epochs]\nx = 3", "training.epochs: expected a whole number, got {'x': 3}"),
        (b'"training.epochs" = 3', 'Unknown option: "[training][epochs]"'),
        (b"no-train = true", "Unknown option"),
        (b"config = 'run.toml'", "Unknown option"),
        (b"options = 3", "options: expected a table, got 3"),
        (b"[options]\na.b = 3", "options.a: expected"),
        (b"score_settings.macs = 3", "score_settings.macs: expected a table, got 3"),
        (b'scores = "macs"', "scores: expected a list, got 'macs'"),
        (b"scores = [1]", "scores[0]: expected text, got 1"),
        (b"scores = []", "scores: expected at least one, got none"),
        (b"images = 2020-01-01", "images: expected text, got datetime.date(2020, 1, 1)"),
        (b'out = ""', "out: expected a path"),
        (b'images = "a\\u0000b"', "images: expected text"),
        (b"[training]\nlearning_rate = nan", "training.learning_rate: expected a finite number"),
        (b"[training]\nwarm_up = 1\nwarm-up = 2", "training"),
        (b"seed = 1\nseed = 2", "expected a TOML file"),
        (b"\xff\xfes\x00", "expected a TOML file, got run.toml"),
        (b"images = '\xe9'", "expected a TOML file, got run.toml"),
        (b"a = " + b"[" * 5000, "expected a TOML file, got run.toml"),
        (b"seed = " + b"9" * 5000, "expected a TOML file, got run.toml"),
    ],
    ids=lambda text: str(text)[:40],
)
@pytest.mark.parametrize("given", [(), ("--no-train", "--images", "digits", "--seed", "3")])
def test_a_wrong_file_is_refused_even_where_a_flag_wins(
    text: bytes, message: str, given: tuple[str, ...], parse: Parse
) -> None:
    Path("run.toml").write_bytes(text)
    code, error, _ = parse("search", "--config", "run.toml", *given)
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_a_flag_wins_over_a_file_key_by_key_even_where_it_is_the_default(parse: Parse) -> None:
    Path("run.toml").write_text(
        'seed = 5\ndraws = 7\ntrain = true\nsearcher = "random"\npreset = "released"\n'
        "[options]\nprune = 2\ncommon = true\n[training]\nepochs = 3\ncutout = 2\n"
        "[score_settings.condition_number]\ncount = 5\nredraw = 2\n"
    )
    code, _, config = parse(
        "search", "--config", "run.toml", "--seed", "0", "--draws", "3", "--no-train",
        "--searcher", "pruning", "--options.prune", "1", "--training.epochs", "20",
        "--score-settings.condition_number.count", "72",
    )  # fmt: skip
    assert code == 0
    assert config == RunConfig(
        draws=3, searcher="pruning", preset="released",
        options={"prune": 1, "common": True}, training=TrainingSpec(epochs=20, cutout=2),
        score_settings={"condition_number": {"count": 72, "redraw": 2}},
    )  # fmt: skip
    found = resolve(config)
    assert (found.seed, found.draws, found.train, found.searcher) == (0, 3, False, "pruning")
    assert found.options == {"prune": 1, "common": True}  # the preset's `common` is false
    kappa = found.score_settings["condition_number"]
    assert (kappa["count"], kappa["redraw"], kappa["eigenvalues"]) == (72, 2, "released")


def test_a_flag_at_its_default_alters_a_named_recipe(parse: Parse) -> None:
    asked = ("search", "--training.recipe", "te_nas_cifar10", "--space", "darts", "--train")
    _, _, config = parse(*asked, "--training.epochs", "20", "--training.nesterov")
    recipe = resolve(config).recipe
    assert (recipe.epochs, recipe.nesterov) == (20, True)
    assert recipe.drop_path == get_recipe("te_nas_cifar10").drop_path
    stored = resolve(config).plain()["training"]
    assert stored == {"recipe": "te_nas_cifar10", "images": None, **vars(recipe)}
