"""The command as a person types it: what it prints, and one clear line for each wrong use."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from untrained.cli import main
from untrained.cli.terminal import PIPED_WIDTH, PRINTED
from untrained.storage import RunFolder, opening
from untrained.storage.schema import SCHEMA
from untrained.storage.store import Store

Command = Callable[..., tuple[int, str, str]]

CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"
# DARTS_V2 of the code of Liu, Simonyan & Yang, spaces included
GENOTYPE = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=[2, 3, 4, 5])"
)
NODE = "|sep_conv_3x3~0|skip_connect~1|"
TWO_CELLS = f"normal:{'+'.join([NODE] * 4)}/reduction:{'+'.join([NODE] * 4)}"
QUICK = ("--workers", "0", "--draws", "1", "--searcher", "random", "--options.evaluations", "2")


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs `untrained ...` in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PRINTED, "_width", PIPED_WIDTH)
    monkeypatch.setenv("COLUMNS", "200")  # of help, whose console is made anew

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["untrained", *arguments])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_search_prints_the_selected_architecture_and_writes_a_report(command: Command) -> None:
    code, out, _ = command("search", *QUICK, "--train", "--compare", "1", "--training.epochs", "1",
                           "--scale", "small")  # fmt: skip
    assert code == 0
    assert "Selected architecture (best of 2 measured by random search" in out
    report = next(Path("untrained-runs").glob("*/report.html"))
    assert str(report) in out.replace("\n", "")
    assert "<html" in report.read_text(encoding="utf-8")


def test_json_is_one_object(command: Command) -> None:
    code, out, _ = command("search", *QUICK, "--json")
    found = json.loads(out)
    assert code == 0
    assert len(found["trials"]) == 2
    assert found["selected"] in [trial["architecture"] for trial in found["trials"]]


def test_score_prints_an_estimate_with_its_error(command: Command) -> None:
    asked = ("score", CELL, "--workers", "0")
    code, out, _ = command(*asked, "--draws", "2", "--scores", "parameters", "linear_regions")
    assert code == 0
    assert "±" in out
    _, out, _ = command(*asked, "--scores", "parameters", "--json")
    assert json.loads(out)["trials"][0]["scores"] == {
        "parameters": [73_018.0 + 243_040 + 28_000] * 3
    }


def test_train_exports_the_named_architecture(command: Command) -> None:
    code, out, _ = command("train", CELL, "--workers", "0", "--compare", "0", "--scale", "small",
                           "--training.epochs", "1", "--json")  # fmt: skip
    found = json.loads(out)
    assert code == 0
    assert found["selected"] == CELL
    assert [t["role"] for t in found["trained"]] == ["selected"]


def test_a_folder_of_your_own_pictures(command: Command) -> None:
    """PNG and JPEG of many sizes, some grey, some with alpha, one truncated."""
    rng = np.random.default_rng(0)
    for label in range(4):
        folder = Path(f"pictures/class {label}")
        folder.mkdir(parents=True)
        for i in range(10):
            mode = ("RGB", "L", "RGBA")[i % 3]
            side, other = rng.integers(40, 300, 2)
            pixels = rng.integers(0, 256, (side, other, len(Image.new(mode, (1, 1)).getbands())))
            pixels[..., label % pixels.shape[2]] //= 1 + label
            picture = Image.fromarray(pixels.astype(np.uint8).squeeze(), mode)
            picture.save(folder / (f"{i}.png" if mode == "RGBA" or i % 2 else f"{i}.jpg"))
    whole = Path("pictures/class 2/0.jpg").read_bytes()
    Path("pictures/class 2/0.jpg").write_bytes(whole[: len(whole) // 2])
    code, out, err = command(
        "search", "--images", "pictures", *QUICK, "--score-settings.linear_regions.count", "60",
        "--score-settings.condition_number.count", "6", "--train", "--compare", "1",
        "--training.epochs", "1", "--scale", "small", "--json",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    assert len(found["trained"]) == 2
    assert "class 2/0.jpg" in Path(found["report"]).read_text(encoding="utf-8")


def test_report_of_a_stored_run(command: Command) -> None:
    _, out, _ = command("search", *QUICK, "--json")
    report = Path(json.loads(out)["report"])
    report.unlink()
    code, _, _ = command("report", str(report.parent))
    assert code == 0
    assert report.exists()


def test_flags_from_toml_and_flags_win(command: Command) -> None:
    Path("run.toml").write_text(
        'searcher = "random"\ndraws = 1\nworkers = 0\n[options]\nevaluations = 3\n'
        "[training]\nepochs = 7\n[score_settings.linear_regions]\ncount = 50\n"
    )
    code, out, _ = command("search", "--config", "run.toml", "--draws", "2", "--json")
    trials = json.loads(out)["trials"]
    assert code == 0
    assert len(trials) == 3
    assert len(trials[0]["scores"]["linear_regions"]) == 2
    assert max(trials[0]["scores"]["linear_regions"]) <= 50


def test_help_teaches(command: Command) -> None:
    _, out, _ = command("--help")
    for word in ("search", "score", "train", "report", "demo", "one subfolder per class"):
        assert word in out


def images(**changes: Any) -> dict[str, Any]:
    """A proper .npz's arrays, with changes."""
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8),
        "y_train": np.arange(40, dtype=np.uint8) % 2,
    }
    return {name: array for name, array in {**arrays, **changes}.items() if array is not None}


WRONG_ARRAYS: dict[str, dict[str, Any]] = {
    "wrong keys": {"x_train": None, "pictures": np.zeros(3)},
    "wrong shape": {"x_train": np.zeros((40, 8), dtype=np.uint8)},
    "wrong dtype": {"x_train": np.zeros((40, 8, 8, 3))},
    "labels that don't match": {"y_train": np.zeros(39, dtype=np.uint8)},
    "one class only": {"y_train": np.zeros(40, dtype=np.uint8)},
}


def assert_one_clear_line(result: tuple[int, str, str], *words: str) -> None:
    code, out, err = result
    assert code in (1, 2)
    lines = [line for line in (out + err).splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert lines[0].startswith("untrained: ")
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize("case", WRONG_ARRAYS)
def test_wrong_arrays(case: str, command: Command) -> None:
    np.savez("wrong.npz", **images(**WRONG_ARRAYS[case]))
    assert_one_clear_line(command("search", "--images", "wrong.npz"), "expected", "got")


def test_proper_arrays_go_through(command: Command) -> None:
    np.savez("right.npz", **images())
    code, _, _ = command("search", *QUICK, "--images", "right.npz", "--scores", "parameters")
    assert code == 0


def test_missing_file(command: Command) -> None:
    assert_one_clear_line(command("search", "--images", "nowhere.npz"), "nowhere.npz")


def test_not_an_npz(command: Command) -> None:
    Path("text.npz").write_text("hello")
    assert_one_clear_line(command("search", "--images", "text.npz"), "text.npz")


def test_fewer_images_than_a_probe_wants(command: Command) -> None:
    np.savez("few.npz", **images())
    asked = command("search", "--images", "few.npz")
    assert_one_clear_line(asked, "got count 72", "--score-settings.condition_number.count")


def test_empty_folder(command: Command) -> None:
    Path("pictures").mkdir()
    assert_one_clear_line(command("search", "--images", "pictures"), "one subfolder")


@pytest.mark.parametrize(
    ("flag", "value", "nearest"),
    [
        ("--space", "nasbench", "nasbench201"),
        ("--scores", "condition", "condition_number"),
        ("--searcher", "prune", "pruning"),
        ("--options.evaluatons", "3", "evaluations"),
        ("--images", "digit", "digits"),
        ("--score-settings.linear_regions.cuont", "3", "count"),
    ],
)
def test_unknown_names_say_the_nearest(
    flag: str, value: str, nearest: str, command: Command
) -> None:
    asked = ("search", "--searcher", "random", flag, value) if "opt" in flag else (
        "search", flag, value
    )  # fmt: skip
    assert_one_clear_line(command(*asked), nearest)


def test_wrong_cell(command: Command) -> None:
    assert_one_clear_line(command("score", "|conv~0|", "--workers", "0"), "expected |op~0|")


def test_unknown_key_of_toml(command: Command) -> None:
    Path("run.toml").write_text("sed = 3\n")
    asked = command("search", "--config", "run.toml")
    assert_one_clear_line(asked, 'Unknown option: "[sed]"', "run.toml")


def test_missing_toml(command: Command) -> None:
    assert_one_clear_line(command("search", "--config", "none.toml"), "none.toml")


def test_broken_toml(command: Command) -> None:
    Path("run.toml").write_text("seed = = 3\n")
    assert_one_clear_line(command("search", "--config", "run.toml"), "run.toml", "line 1")


def test_unknown_flag_says_the_nearest(command: Command) -> None:
    assert_one_clear_line(command("search", "--sed", "3"), "Did you mean --seed?")


def test_output_that_cannot_be_written(command: Command) -> None:
    Path("file").write_text("")
    assert_one_clear_line(command("search", "--out", "file/runs"), "--out")


def test_store_of_a_newer_schema(command: Command) -> None:
    Path("untrained-runs").mkdir()
    Store.open(Path("untrained-runs/store.db")).close()
    with sqlite3.connect("untrained-runs/store.db") as connection:
        connection.execute("update schema set version = ?", (SCHEMA + 1,))
    connection.close()
    assert_one_clear_line(command("search", *QUICK), "newer untrained", "upgrade")


def test_store_that_is_none(command: Command) -> None:
    Path("untrained-runs").mkdir()
    Path("untrained-runs/store.db").write_text("not a database, whatever its name says " * 50)
    assert_one_clear_line(command("search", *QUICK), "not a database")


def test_store_locked_by_another_program(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "BUSY_SECONDS", 0.1)
    Path("untrained-runs").mkdir()
    Store.open(Path("untrained-runs/store.db")).close()
    other = sqlite3.connect("untrained-runs/store.db", isolation_level=None)
    other.execute("begin exclusive")
    assert_one_clear_line(command("search", *QUICK), "locked", "--out")
    other.close()


def test_run_held_by_another_process(command: Command) -> None:
    _, out, _ = command("search", *QUICK, "--json")
    name = json.loads(out)["run"]
    with RunFolder(Path("untrained-runs"), name).held():
        assert_one_clear_line(command("search", *QUICK), "in use by another process")


def test_no_such_run_to_report(command: Command) -> None:
    assert_one_clear_line(command("report", "untrained-runs/nothing"), "store")


def test_interrupt_says_how_to_resume(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("untrained.runs.driver.search", interrupted)
    code, out, err = command("search", *QUICK)
    assert code == 130
    assert "To resume: untrained search --workers 0" in out + err


def test_a_fault_of_ours_can_be_traced(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNTRAINED_TRACEBACK", "1")
    with pytest.raises(ValueError, match="unknown space"):
        command("search", "--space", "nowhere")


# Settings, recipes and texts of DARTS


def test_a_published_genotype_is_scored_as_it_stands(command: Command) -> None:
    code, out, err = command("score", GENOTYPE, TWO_CELLS, "--space", "darts", "--workers", "0",
                             "--scores", "trainable_layers", "--json")  # fmt: skip
    assert code == 0, err
    texts = [trial["architecture"] for trial in json.loads(out)["trials"]]
    assert texts[0].startswith("normal:|sep_conv_3x3~0|sep_conv_3x3~1|+|sep_conv_3x3~0|")
    assert "/reduction:|max_pool_3x3~0|max_pool_3x3~1|+|max_pool_3x3~1|skip_connect~2|" in texts[0]
    assert texts[1] == TWO_CELLS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GENOTYPE.replace("dil_conv_3x3", "dil_conv_3"),
         ("edge 2-5 of the normal cell", "unknown operation 'dil_conv_3'", "sep_conv_5x5",
          "did you mean dil_conv_3x3?")),
        (TWO_CELLS.replace("skip_connect", "skip_connect,none", 1),
         ("got 'none'", "leave the edge out")),
        (GENOTYPE.replace(", ('dil_conv_3x3', 2)", ""), ("expected 8 pairs", "got 7")),
        (TWO_CELLS.replace(NODE, NODE + "skip_connect~0|", 1),
         ("node 2 of the normal cell takes node 0 twice", "expected inputs that differ")),
        (GENOTYPE.replace("dil_conv_3x3', 2", "dil_conv_3x3', 7"),
         ("node 5 of the normal cell takes node 7", "expected an earlier node, 0 to 4")),
        (GENOTYPE[:100], ("expected Genotype(normal=[('op', 0), ", "got \"Genotype(normal=")),
        (GENOTYPE.replace("normal=", "norm="), ("expected normal=[...] and reduce=[...]",)),
        (GENOTYPE.replace("('dil_conv_3x3', 2)", "{[]: 1}"), ("expected 8 pairs", "got \"[(")),
        (TWO_CELLS.replace(NODE, "|sep_conv_3x3~0|", 1),
         ("node 2 of the normal cell", "expected at least 2 edges", "got 1")),
        (TWO_CELLS.replace("skip_connect~1", "skip_connect~4", 1),
         ("node 2 of the normal cell takes node 4", "expected an earlier node, 0 to 1")),
        (TWO_CELLS[:90], ("not a DARTS architecture: expected normal:|op~0|", "got 'normal:")),
        ("[[[0, 1], [1, 2]", ("expected [[[0, index of op], ...]", "got '[[[0, 1], [1, 2]'")),
        ("[1, 2]", ("expected 8 pairs [input node, index of the operation]", "got 1")),
        ("(5)", ("expected two cells [normal, reduction]", "got '(5)'")),
        ("[{[]: 1}]", ("expected [[[0, index of op], ...]", "got '[{[]: 1}]'")),
        ("", ("not a DARTS architecture: expected", "got ''")),
    ],
)  # fmt: skip
def test_wrong_texts_of_darts(text: str, words: tuple[str, ...], command: Command) -> None:
    for asked in ("score", "train"):
        result = command(asked, text, "--space", "darts", "--workers", "0")
        assert result[0] == 2
        assert_one_clear_line(result, *words)
    assert not Path("untrained-runs").exists()


@pytest.mark.parametrize(
    "partial",
    [
        TWO_CELLS.replace("skip_connect~1", "skip_connect,sep_conv_5x5~1", 1),
        TWO_CELLS.replace(f"+{NODE}", f"+{NODE}max_pool_3x3~2|", 1),
    ],
)
def test_a_partial_architecture_cannot_be_trained(partial: str, command: Command) -> None:
    result = command("train", partial, "--space", "darts", "--workers", "0")
    assert result[0] == 2
    assert_one_clear_line(result, "expected a discrete architecture", f"got {partial}", "try")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--preset", "nonsense"),
         ("preset: expected deep or lga or nngp or paper or released", "got 'nonsense'")),
        (("--preset", "lga", "--space", "darts"),
         ("expected deep or paper or paper_imagenet or released", "got 'lga'")),
        (("--training.recipe", "nonsense"),
         ("unknown recipe 'nonsense': expected", "te_nas_imagenet")),
        (("--training.recipe", "darts"),
         ("unknown recipe 'darts'", "darts_cifar10", "package.module")),
        (("--training.recipe", "te_nas_cifar10", "--train"),
         ("training.auxiliary: expected 0", "got 0.4", "try another recipe")),
        (("--training.drop_path", ".2", "--train"), ("drop_path: expected 0", "got 0.2; try 0")),
        (("--score-settings.condition_number.redraw", "0"), ("redraw: expected", "got 0")),
        (("--score-settings.condition_number.eigenvalues", "exact"),
         ("eigenvalues: expected 'float64' or 'released'", "got 'exact'")),
        (("--score-settings.linear_regions.batches", "0"), ("batches: expected", "got 0")),
    ],
)  # fmt: skip
def test_wrong_settings_and_recipes(
    flags: tuple[str, ...], words: tuple[str, ...], command: Command
) -> None:
    result = command("search", "--workers", "0", *flags)
    assert result[0] == 2
    assert_one_clear_line(result, *words)
    assert not Path("untrained-runs").exists()


def test_a_recipe_whose_head_does_not_fit_the_images(command: Command) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    np.savez("pictures.npz", **images(x_train=pixels))
    asked = ("train", TWO_CELLS, "--space", "darts", "--images", "pictures.npz",
             "--training.recipe", "te_nas_imagenet", "--workers", "0",
             "--channels", "4")  # fmt: skip
    result = command(*asked, "--scale", "imagenet", "--cells", "3")
    assert result[0] == 2
    assert_one_clear_line(
        result, "maps of 7 to 8 pixels", "those of 224 x 224 images", "got 1 x 1", "--training",
        "--scale or --size",
    )  # fmt: skip
    assert not Path("untrained-runs").exists()


@pytest.mark.parametrize("edge", ["~1", "none,~1"])
def test_a_cell_with_an_empty_edge(edge: str, command: Command) -> None:
    text = CELL.replace("none~1", edge, 1)
    result = command("score", text, "--workers", "0")
    assert result[0] == 2
    assert_one_clear_line(result, "expected op~0 or op,op~0", f"got '{edge}'", "reads none~0")
