"""What the names of published settings and recipes stand for, beside values copied by hand."""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from untrained.runs import RunConfig, driver, resolved, run
from untrained.runs.presets import ANY, PRESETS, Preset, resolve
from untrained.runs.resolved import ResolvedConfig
from untrained.runs.setup import make_setups, training_scale
from untrained.searchers import Goal, make_searcher
from untrained.spaces import get_space
from untrained.spaces.darts import DARTS
from untrained.tracking import config as track_config
from untrained.tracking.config import TrackConfig
from untrained.training import Recipe, TrainingSpec
from untrained.training.recipe import check_recipe

NAMES = [(name, space) for name, spaces in PRESETS.items() for space in spaces if space != ANY]
NAMES += [("deep", "darts")]

# Images for kappa are 32 in the text, 72, 14 and 24 in the code; patches for R 5000 and 3 x 1000.
PAPER_SETTINGS = {
    "condition_number": {"count": 32},
    "linear_regions": {"count": 5000},
}
EXPECTED: dict[tuple[str, str], dict[str, Any]] = {
    ("paper", "nasbench201"): {
        "searcher": "pruning", "draws": 3, "score_settings": PAPER_SETTINGS,
        "options": {"prune": 1, "gain": "absolute", "digits": 12},
    },
    ("paper", "darts"): {
        "searcher": "pruning", "draws": 3, "score_settings": PAPER_SETTINGS,
        "options": {"prune": 3, "gain": "absolute", "digits": 12},
    },
    ("paper_imagenet", "darts"): {
        "searcher": "pruning", "draws": 3, "score_settings": PAPER_SETTINGS,
        "options": {"prune": 2, "gain": "absolute", "digits": 12},
    },
    ("deep", "darts"): {
        "searcher": "surrogate", "draws": 1, "options": {}, "score_settings": {},
    },
    ("deep", "nasbench201"): {
        "searcher": "surrogate", "draws": 1, "options": {},
        "score_settings": {
            "condition_number": {"count": 32, "cells": 5},
            "linear_regions": {"cells": 5, "stages": 3},
        },
    },
    ("lga", "nasbench201"): {
        "searcher": "random", "draws": 1, "scores": ("label_alignment_normalised",),
        "score_settings": {}, "options": {"evaluations": 50},
        "short_training": TrainingSpec(images=2000),
    },
    **{
        ("nngp", space): {
            "searcher": "random", "draws": 1, "options": {"evaluations": 100},
            "score_settings": {score: {"count": 1000, "ensemble": draws}}, "scores": (score,),
        }
        for space, score, draws in (
            ("nasbench101", "nngp_leave_one_out", 2), ("nasbench201", "nngp_squared_error", 8),
        )
    },
    **{
        (name, space): {
            "searcher": "pruning", "draws": 3, "options": {"prune": prune, "common": False},
            "score_settings": {
                "condition_number": {
                    "count": count, "batchnorm": "batch", "weights": "torch_default",
                    "redraw": 3000, "eigenvalues": "released",
                },
                "linear_regions": {"weights": "torch_default", "redraw": 3, "batches": 3},
            },
        }
        for name, space, prune, count in (
            ("released", "nasbench201", 1, 72),
            ("released", "darts", 3, 14),
            ("released_imagenet", "darts", 2, 24),
        )
    },
}  # fmt: skip


DEFAULT_SCORES = ("condition_number", "linear_regions")


def chosen(config: ResolvedConfig) -> dict[str, Any]:
    """What a preset may choose."""
    return {
        "searcher": config.searcher,
        "draws": config.draws,
        "options": config.options,
        "score_settings": config.score_settings,
        "scores": config.scores,
        "short_training": config.short_training,
    }


@pytest.mark.parametrize(("name", "space"), NAMES)
def test_what_each_name_stands_for(name: str, space: str) -> None:
    found = resolve(RunConfig(preset=name, space=space))
    common = {"scores": DEFAULT_SCORES, "short_training": TrainingSpec()}
    assert chosen(found) == {**common, **EXPECTED[name, space]}
    plain = resolve(RunConfig(space=space))
    assert replace(found, **chosen(plain), preset=None) == plain


def test_without_a_name_the_defaults_are_those_that_the_help_says() -> None:
    found = resolve(RunConfig(options={"prune": 2}))
    assert chosen(found) == {
        "searcher": "pruning", "draws": 3, "options": {"prune": 2}, "score_settings": {},
        "scores": DEFAULT_SCORES, "short_training": TrainingSpec(),
    }  # fmt: skip
    assert found.recipe == Recipe()


GIVEN: dict[str, Any] = {
    "searcher": "pruning", "scores": DEFAULT_SCORES, "draws": Preset.draws,
}  # fmt: skip


@pytest.mark.parametrize("field", GIVEN)
@pytest.mark.parametrize(("name", "space"), NAMES)
def test_a_value_that_is_the_default_is_given_all_the_same(
    name: str, space: str, field: str
) -> None:
    found = resolve(RunConfig(preset=name, space=space, **{field: GIVEN[field]}))
    assert getattr(found, field) == GIVEN[field]


@pytest.mark.parametrize(
    ("space", "scores"),
    [
        ("nasbench201", DEFAULT_SCORES),
        ("darts", DEFAULT_SCORES),
        ("nasbench101", ("nngp_leave_one_out",)),
        ("mnas", ("nngp_leave_one_out",)),
        ("function_spaces:family", ("nngp_leave_one_out",)),
    ],
)
def test_without_supernets_the_score_is_the_one_that_ranks_ordinary_networks(
    space: str, scores: tuple[str, ...]
) -> None:
    for preset in (None, "deep"):
        assert resolve(RunConfig(space=space, preset=preset)).scores == scores


def test_equal_resolutions_are_one_question_however_they_were_asked() -> None:
    by_name = resolve(RunConfig(preset="deep"))
    expected = EXPECTED["deep", "nasbench201"]
    by_hand = resolve(RunConfig(scores=DEFAULT_SCORES, **expected))
    assert by_name.identity("images", "code") == by_hand.identity("images", "code")
    assert by_name.identity("images", "code") != resolve(RunConfig()).identity("images", "code")


def test_an_automatic_device_is_one_question_with_the_device_it_stands_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for there, device in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        monkeypatch.setattr(resolved, "check_device", lambda _: None)  # of a GPU that is not there
        monkeypatch.setattr(track_config, "check_device", lambda _: None)
        found, named = (resolve(RunConfig(device=asked)) for asked in ("auto", device))
        assert found == named
        assert found.plain()["device"] == device
        assert TrackConfig(device="auto").resolved() == TrackConfig(device=device).resolved()


@pytest.mark.parametrize(("name", "space"), NAMES)
def test_every_setting_is_one_that_is_there(name: str, space: str) -> None:
    config = resolve(RunConfig(preset=name, space=space))
    there = get_space(space)
    setups = make_setups(there, config)
    goals = tuple(Goal(i.name, i.score.higher_is_better) for i in setups)
    make_searcher(config.searcher, there, goals, config.draws, config.options)
    for setup in setups:
        asked = EXPECTED[name, space]["score_settings"].get(setup.name, {})
        found = {**asdict(setup), **asdict(setup.scale), **asdict(setup.probe),
                 **asdict(setup.score)}  # fmt: skip
        assert {key: found[key] for key in asked} == asked


def test_what_is_asked_comes_first() -> None:
    asked = RunConfig(
        preset="released",
        options={"prune": 4, "gain": "absolute"},
        score_settings={"condition_number": {"count": 5, "cells": 2}},
        draws=7,
    )
    found = resolve(asked)
    released = EXPECTED["released", "nasbench201"]
    assert found.draws == 7
    assert found.options == {"prune": 4, "common": False, "gain": "absolute"}
    assert found.score_settings == {
        "condition_number": {
            **released["score_settings"]["condition_number"], "count": 5, "cells": 2,
        },
        "linear_regions": released["score_settings"]["linear_regions"],
    }  # fmt: skip
    assert asked.score_settings == {"condition_number": {"count": 5, "cells": 2}}


def test_another_searcher_is_not_given_options_of_the_preset_s_own() -> None:
    found = resolve(RunConfig(preset="released", searcher="random", options={"evaluations": 9}))
    assert (found.searcher, found.options) == ("random", {"evaluations": 9})
    assert found.score_settings == EXPECTED["released", "nasbench201"]["score_settings"]


def test_settings_of_scores_that_are_not_asked_for_are_left_out() -> None:
    found = resolve(
        RunConfig(preset="paper", scores=("parameters", "linear_regions"),
                  score_settings={"parameters": {"scale": "small"}})
    )  # fmt: skip
    assert found.score_settings == {
        "parameters": {"scale": "small"}, "linear_regions": {"count": 5000},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "space", "there"),
    [
        (
            "nonsense",
            "nasbench201",
            "deep or lga or nngp or paper or released on the space 'nasbench201'",
        ),
        (
            "paper_imagenet",
            "nasbench201",
            "deep or lga or nngp or paper or released on the space 'nasbench201'",
        ),
        ("lga", "darts", "deep or paper or paper_imagenet or released or released_imagen"),
        ("paper", "function_spaces:family", "deep on the space 'function_spaces:family'"),
    ],
)
def test_a_name_that_is_not_there_says_which_are(name: str, space: str, there: str) -> None:
    with pytest.raises(ValueError, match=f"preset: expected {there}.*, got '{name}'$") as error:
        resolve(RunConfig(preset=name, space=space))
    assert "\n" not in str(error.value)


# Recipes


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("default", Recipe()),
        # DARTS, section 3.3 and its code, train.py
        ("darts_cifar10", {"epochs": 600, "batch": 96, "learning_rate": 0.025, "drop_path": 0.2,
                           "auxiliary": 0.4, "cutout": 16, "clip": 5.0, "weight_decay": 3e-4}),
        # TE-NAS, appendix A
        ("te_nas_cifar10", {"epochs": 600, "learning_rate": 0.025, "drop_path": 0.3,
                            "auxiliary": 0.4, "cutout": 16, "schedule": "cosine"}),
        ("te_nas_imagenet", {"epochs": 250, "batch": 768, "learning_rate": 0.5, "warm_up": 5,
                             "label_smoothing": 0.1, "schedule": "cosine", "drop_path": 0.0}),
    ],
)  # fmt: skip
def test_recipes_by_name(name: str, published: Recipe | dict[str, Any]) -> None:
    found = resolve(RunConfig(training=TrainingSpec(recipe=name))).recipe
    check_recipe(found)
    if isinstance(published, Recipe):
        assert found == published
    else:
        assert {key: getattr(found, key) for key in published} == published


def test_a_named_recipe_with_altered_fields() -> None:
    whole = resolve(RunConfig(training=TrainingSpec(recipe="te_nas_cifar10"))).recipe
    changes = TrainingSpec(recipe="te_nas_cifar10", epochs=2, cutout=4, drop_path=0.1)
    found = resolve(RunConfig(training=changes))
    assert found.recipe == replace(whole, epochs=2, cutout=4, drop_path=0.1)


@pytest.mark.parametrize("field", [f.name for f in fields(Recipe)])
def test_what_is_given_as_the_default_recipe_has_it_alters_a_named_one(field: str) -> None:
    whole = resolve(RunConfig(training=TrainingSpec(recipe="te_nas_cifar10"))).recipe
    default = getattr(Recipe(), field)
    asked = RunConfig(training=TrainingSpec(**{"recipe": "te_nas_cifar10", field: default}))
    assert resolve(asked).recipe == replace(whole, **{field: default})


def test_a_whole_recipe_leaves_nothing_of_a_named_one_but_what_may_be_open() -> None:
    recipe = Recipe(epochs=3, crop=False, flip=True)
    spec = TrainingSpec(recipe="te_nas_cifar10", **vars(recipe))
    assert resolve(RunConfig(training=spec)).recipe == recipe


def test_a_recipe_that_is_not_there_says_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown recipe 'te_nas_cifar': .*'te_nas_cifar10'"):
        resolve(RunConfig(training=TrainingSpec(recipe="te_nas_cifar")))


# Recipes beside networks and images


def test_the_auxiliary_head_is_built_where_the_recipe_weighs_it() -> None:
    darts = get_space("darts")
    without = training_scale(darts, resolve(RunConfig(space="darts")))
    assert without == darts.scales["full"]
    training = TrainingSpec(auxiliary=0.4)
    asked = resolve(RunConfig(space="darts", training=training, channels=4, cells=3))
    full = DARTS().scales["full"]
    assert training_scale(darts, asked) == replace(full, channels=4, cells=3, auxiliary=True)


def test_a_space_without_auxiliary_head_says_so() -> None:
    asked = resolve(RunConfig(training=TrainingSpec(recipe="darts_cifar10")))
    message = r"training.auxiliary: expected 0 on the space 'nasbench201'.* got 0.4; try another"
    with pytest.raises(ValueError, match=message):
        training_scale(get_space("nasbench201"), asked)


SMALL = {"space": "darts", "channels": 2, "cells": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({**SMALL, "training": TrainingSpec(auxiliary=0.4)},
         r"training: the auxiliary head reads maps of 8 to 10 .*--training\.recipe \(now auto\)"
         ", --scale or --size"),
        ({**SMALL, "training": TrainingSpec("te_nas_cifar10")},
         "training: cutout: .* at most .* 8, got 16.*size"),
        ({"training": TrainingSpec(drop_path=0.2)},
         "training: drop_path: expected 0 .* got 0.2; try 0"),
        ({"training": TrainingSpec(auxiliary=0.2)}, "training.auxiliary: expected 0"),
        ({"training": TrainingSpec("te_nas_imagenet")}, "training.auxiliary: expected 0"),
    ],
)  # fmt: skip
def test_a_recipe_that_does_not_fit_is_refused_before_the_search(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> NoReturn:
        raise AssertionError("the search has begun")

    monkeypatch.setattr(driver, "search", never)
    monkeypatch.setattr(driver, "start_engine", never)
    out = tmp_path / "runs"
    with pytest.raises(ValueError, match=message) as error:
        run(RunConfig(train=True, workers=0, out=out, **changes))
    assert "\n" not in str(error.value)
    assert not out.exists()
