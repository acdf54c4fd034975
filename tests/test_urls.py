"""Files by URL: read, written whole or not at all, waited for; and wrong URLs."""

import json
import random
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
import torch
from object_stores import Shop, enrolled, shop
from torch import nn
from trainable import mlp

from untrained import patience
from untrained.files import CONTENTS, folder_written_whole, whole_files, write_whole
from untrained.images import Images
from untrained.locations import located, lock_file
from untrained.outside import command_line
from untrained.runs.engines import start_engine
from untrained.runs.failures import alarm
from untrained.runs.node import check_folder
from untrained.runs.tasks import Trained, TrainTask, perform, reaching
from untrained.settings import typed
from untrained.spaces import get_space
from untrained.training import Recipe, ShortTrained, train
from untrained.training.checkpoint import load_short, save_short
from untrained.urls import URL

__all__ = ["shop"]  # a fixture

pytestmark = pytest.mark.usefixtures("shop")

HERE = Path(__file__).parent
CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"
PAGE = URL("shop://bucket/runs/page.html")


# What a text means


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("runs", Path("runs")),
        ("s3:/bucket", Path("s3:/bucket")),
        ("file:///shared/my%20runs", Path("/shared/my runs")),
        ("local:///shared", Path("/shared")),
        ("s3://bucket/runs//", URL("s3://bucket/runs")),
        ("memory://runs", URL("memory://runs")),
        ("abfs://box@account.dfs.core.windows.net/x", URL("abfs://box@account.dfs.core.windows.net/x")),
    ],
)  # fmt: skip
def test_a_text_is_a_path_or_a_url(text: str, meant: Path | URL) -> None:
    found = located(text)
    assert isinstance(found, URL) == isinstance(meant, URL)
    assert found == meant


@pytest.mark.parametrize(
    "text",
    ["s3://me:secret@bucket/runs", "s3://me:sec/ret@bucket", "s3://b/x?sig=secret", "s3://b/x#secret",
     "s3://me:a\nsecret@b", "simplecache::s3://secret", "secret:x@s3://b", "s3://", "s3:///",
     "://secret"],
)  # fmt: skip
def test_a_url_of_another_form_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match="out: expected a URL such as") as told:
        typed(Path | URL, text, "out")
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_path_where_no_url_will_do() -> None:
    with pytest.raises(ValueError, match=r"weights: expected a path .*, got 's3://bucket/w'"):
        typed(Path, "s3://bucket/w", "weights")


def test_a_password_is_not_shown_in_an_advised_command() -> None:
    words = command_line("untrained", "search", "--out", "s3://key:sec:r@et@bucket/runs")
    assert words == "untrained search --out s3://key@bucket/runs"


def test_words_of_a_path() -> None:
    url = located("s3://bucket/runs/a.pt")
    assert isinstance(url, URL)
    assert (url.name, url.parent, url.protocol) == ("a.pt", "s3://bucket/runs", "s3")
    assert url.parent.parent.parent == url.root == "s3://bucket"
    assert url.with_name("b") == url.parent / "b" == "s3://bucket/runs/b"
    assert lock_file(url).parts[-2:] == ("runs", "a.pt")
    assert lock_file(url) != lock_file(URL("s3://other/runs/a.pt"))
    assert lock_file(Path("lock")) == Path("lock")


# Reading and writing


@pytest.mark.parametrize("file", [PAGE, URL("memory://test_urls/page.html")])
def test_what_is_written_is_there(file: URL) -> None:
    assert file.size() is None
    assert not file.exists()
    with pytest.raises(FileNotFoundError):
        file.read_bytes()
    with pytest.raises(FileNotFoundError):
        file.unlink()
    file.parent.mkdir(parents=True)
    write_whole(file, b"\0old")
    write_whole(file, "néw".encode())
    assert (file.size(), file.exists(), file.read_text()) == (4, True, "néw")
    file.unlink()
    file.unlink(missing_ok=True)
    assert not file.exists()


def test_a_write_that_is_cut_torn_or_refused_is_done_again(
    shop: type[Shop], caplog: pytest.LogCaptureFixture
) -> None:
    write_whole(PAGE, b"old")
    shop.faults += ["cut", "torn", "away", "cut"]
    write_whole(PAGE, b"0123456789")
    assert PAGE.read_bytes() == b"0123456789"
    assert [record.message for record in caplog.records] == [
        f"cannot write {PAGE} (ConnectionResetError: [Errno 104] Connection reset by peer): tried "
        f"again for 10 minutes; nothing is lost"
    ]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("cut", "Connection reset by peer"), ("away", "no route to host"),
     ("torn", "expected 10 bytes to be kept, found 5")],
)  # fmt: skip
def test_after_ten_minutes_it_is_told(
    fault: str, reason: str, shop: type[Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.02)
    shop.faults += [fault] * 1000  # type: ignore[list-item]
    with pytest.raises(OSError, match=reason) as told:
        write_whole(PAGE, b"0123456789")
    assert "give the same command again: it resumes" in str(told.value)
    assert "\n" not in str(told.value)
    assert len(shop.faults) < 999  # it was tried


def test_what_lasts_is_told_at_once(shop: type[Shop]) -> None:
    shop.faults += ["denied", "denied"]
    with pytest.raises(OSError, match=f"cannot write {PAGE}: .*: Access Denied; see that"):
        write_whole(PAGE, b"0123456789")
    assert shop.faults == ["denied"]


# A folder


def exported(folder: URL, **files: bytes) -> None:
    with folder_written_whole(folder, ("a", "b", "c")) as new:
        for name, content in files.items():
            (new / name).write_bytes(content)


def test_a_folder_is_whole_once_its_last_file_is_there(
    shop: type[Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed or failing after any number of files, it is none; and then the new one."""
    folder = URL("shop://bucket/network")
    assert whole_files(folder) == set()
    exported(folder, a=b"old", c=b"old")
    assert whole_files(folder) == {"a", "c"}
    write_whole(folder / "notes", b"mine")
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", -1)
    for done in range(3):
        shop.faults += [*([None] * done), "cut"]  # type: ignore[list-item]
        with pytest.raises(OSError, match="Connection reset"):
            exported(folder, a=b"new", b=b"newer")
        assert whole_files(folder) == set()
    exported(folder, a=b"new", b=b"newer")
    assert whole_files(folder) == {"a", "b"}
    assert not (folder / "c").exists()
    assert (folder / "notes").read_bytes() == b"mine"


@pytest.mark.parametrize("damage", ["torn", "lost", "contents"])
def test_a_folder_that_was_damaged_is_not_taken_for_whole(damage: str, shop: type[Shop]) -> None:
    folder = URL("shop://bucket/network")
    exported(folder, a=b"some", b=b"more")
    listed = json.loads((folder / CONTENTS).read_bytes())
    assert {name: each["bytes"] for name, each in listed.items()} == {"a": 4, "b": 4}
    if damage == "torn":
        (folder / "b").write_bytes(b"mo")
    elif damage == "lost":
        (folder / "b").unlink()
    else:
        (folder / CONTENTS).write_bytes((folder / CONTENTS).read_bytes()[:-9])
    assert whole_files(folder) == set()


@pytest.mark.parametrize("content", [b"[]", b'{"a": 4}', b'{"a": {}}', b"3", b"", b"\xff"])
def test_a_file_of_that_name_that_somebody_else_wrote(content: bytes) -> None:
    folder = URL("shop://bucket/network")
    (folder / CONTENTS).write_bytes(content)
    assert whole_files(folder) == set()


# Trainings


RECIPE, FEW = Recipe(epochs=25), 300
PROGRAM = f"""
import sys, time, torch
import object_stores
from trainable import mlp
from untrained.images import load_images
from untrained.locations import located
from untrained.training import Recipe, train
torch.set_num_threads(1)  # as here
torch.manual_seed(0)
train(
    mlp(1, norm=True),
    load_images("digits").training_on({FEW}, torch.Generator().manual_seed(0)),
    {RECIPE},
    checkpoint=located(sys.argv[1]),
    on_epoch=lambda _: time.sleep(0.05),
)
"""


def make_network() -> nn.Sequential:
    torch.manual_seed(0)
    return mlp(1, norm=True)


@pytest.fixture(scope="module")
def few(digits: Images) -> Images:
    return digits.training_on(FEW, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def unbroken(few: Images) -> nn.Module:
    network = make_network()
    train(network, few, RECIPE)
    return network


@pytest.mark.parametrize("protocol", ["file", "shelf"])
def test_a_training_that_is_killed_resumes_from_a_url(
    protocol: str, tmp_path: Path, few: Images, unbroken: nn.Module
) -> None:
    """kill -9 at a random moment, then here to the end: the weights of an unbroken training."""
    kept = tmp_path / "training.pt"
    command = [sys.executable, "-c", PROGRAM, f"{protocol}://{kept}"]
    process = subprocess.Popen(command, cwd=HERE, stderr=subprocess.PIPE)
    while not kept.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.001)
    time.sleep(random.Random(protocol).uniform(0, 0.5))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = [epoch["seconds"] for epoch in torch.load(kept, weights_only=True)["epochs"]]
    assert 0 < len(before) < RECIPE.epochs
    resumed = make_network()
    found = train(resumed, few, RECIPE, checkpoint=located(command[-1]))
    assert [epoch.seconds for epoch in found.epochs[: len(before)]] == before
    for name, expected in unbroken.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], expected)


def task_of(checkpoint: Path | URL, until: int) -> TrainTask:
    return TrainTask(
        space="nasbench201", architecture=CELL, scale=get_space("nasbench201").scales["small"],
        recipe=Recipe(epochs=2), images=200, seed=0, until=until, checkpoint=checkpoint,
        device="cpu",
    )  # fmt: skip


def test_another_process_continues_a_training(
    tmp_path: Path, digits: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker trains the first epoch, this process the second."""
    enrolled(tmp_path, monkeypatch)
    shared = URL(f"shelf://{tmp_path}/trainings/t.pt")
    with start_engine(1, digits, None, "cpu") as engine:
        [(_, first)] = engine([task_of(shared, 1)])
    assert isinstance(first, Trained)
    second = perform(task_of(shared, 2), digits)
    alone = perform(task_of(tmp_path / "alone.pt", 2), digits)
    assert isinstance(second, Trained)
    assert isinstance(alone, Trained)
    assert second.training.epochs[0].seconds == first.training.epochs[0].seconds
    assert second.evaluation == alone.evaluation
    losses = [[epoch.train_loss for epoch in t.training.epochs] for t in (second, alone)]
    assert losses[0] == losses[1]


def test_a_torn_checkpoint_is_refused_and_a_torn_warm_training_begins_anew(
    shop: type[Shop], digits: Images
) -> None:
    kept = URL("shop://bucket/trainings/t.pt")
    train(make_network(), digits, Recipe(epochs=2), checkpoint=kept, until=1)
    content = kept.read_bytes()
    for length in (0, 1, len(content) // 2, len(content) - 1):
        kept.write_bytes(content[:length])
        with pytest.raises(ValueError, match="expected a training checkpoint, got a file"):
            train(make_network(), digits, Recipe(epochs=2), checkpoint=kept)
    save_short(kept, ShortTrained(1, {"w": torch.ones(3)}, {}, {}, {}))
    assert load_short(kept).epochs == 1
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(ValueError, match="expected a training checkpoint"):
        load_short(kept)


def test_to_wait_for_a_url_longer_than_a_step_may_take_is_no_failure_of_a_network() -> None:
    """And a folder that cannot be written still ends the run."""

    def call() -> None:
        time.sleep(30)

    def full() -> None:
        raise OSError("full")

    begun = time.monotonic()
    assert reaching(PAGE, call, partial(alarm, 0.05)) is None
    assert time.monotonic() - begun < 10
    assert reaching(PAGE, full, nullcontext) is None
    with pytest.raises(OSError, match="full"):
        reaching(Path("t.pt"), full, nullcontext)


def test_a_node_needs_no_folder_but_the_library_of_the_url(tmp_path: Path) -> None:
    check_folder(task_of(URL("shop://bucket/t.pt"), 1))
    with pytest.raises(ValueError, match="a URL that fsspec knows"):
        check_folder(task_of(URL("nope://bucket/t.pt"), 1))
    with pytest.raises(ValueError, match="where trainings are kept, on every node"):
        check_folder(task_of(tmp_path / "none" / "t.pt", 1))
