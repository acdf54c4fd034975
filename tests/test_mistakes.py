"""Pictures of mistakes: against a loop over images, and on the page."""

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from test_report import page_of, realistic_run
from torch import nn

from untrained.pages import write_report
from untrained.runs.mistakes import MISTAKES, Mistake, mistakes_of, read_mistakes, write_mistakes

if TYPE_CHECKING:
    from untrained.images import Images


def pixels_of(mistake: Mistake) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(mistake.png))))


def test_mistakes_are_the_most_confident_first(digits: "Images") -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    expected = []
    for pixels, label in zip(digits.test.pixels, digits.test.labels.tolist(), strict=True):
        logits = network(digits.normalise(pixels[None]))[0].double().tolist()
        exponentials = np.exp(logits)
        guess = int(np.argmax(logits))
        if guess != label:
            share = exponentials[guess] / exponentials.sum()
            expected.append((share, label, guess, pixels[0].numpy()))
    expected.sort(key=lambda each: -each[0])
    found = mistakes_of(network, digits, most=5)
    assert len(found) == 5
    for mistake, (share, label, guess, pixels) in zip(found, expected, strict=False):
        assert (mistake.true, mistake.predicted) == (label, guess)
        assert mistake.probability == pytest.approx(share, rel=1e-5)
        np.testing.assert_array_equal(pixels_of(mistake), pixels)


@pytest.mark.parametrize(("channels", "shape"), [(1, (24, 48)), (2, (24, 48)), (3, (24, 48, 3))])
def test_pictures_are_small(digits: "Images", channels: int, shape: tuple[int, ...]) -> None:
    source = torch.full((2, channels, 100, 200), 7, dtype=torch.uint8)
    test = replace(digits.test, source=source, labels=torch.tensor([1, 1]), rows=None)
    images = replace(digits, test=test, mean=torch.zeros(channels), std=torch.ones(channels))

    class Zero(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(x), 10)

    first, _ = mistakes_of(Zero(), images)
    assert (pixels_of(first) == 7).all()
    assert pixels_of(first).shape == shape
    assert first.probability == pytest.approx(0.1)


def test_what_is_written_is_read_unless_it_is_damaged(digits: "Images", tmp_path: Path) -> None:
    assert read_mistakes(tmp_path, 10) == ()
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    found = mistakes_of(network, digits, most=3)
    write_mistakes(tmp_path, found)
    assert read_mistakes(tmp_path, 10) == tuple(found)
    assert read_mistakes(tmp_path, 1) == ()
    for damaged in (b"", b"{}", b'[{"true": 1}]', b"[1]", b"\xff"):
        (tmp_path / MISTAKES).write_bytes(damaged)
        assert read_mistakes(tmp_path, 10) == ()
    write_mistakes(tmp_path, [replace(found[0], png='"><script>')])
    assert read_mistakes(tmp_path, 10) == ()


def test_the_page_shows_them(digits: "Images", tmp_path: Path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    mistake = replace(mistakes_of(network, digits, most=1)[0], true=3, predicted=8)
    assert "Most confident mistakes" not in page_of(realistic_run(), tmp_path).text
    write_report(realistic_run(), tmp_path / "page.html", mistakes=[mistake])
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f'src="data:image/png;base64,{mistake.png}"' in page
    assert "3, taken for 8" in page
