"""The example in docs/losses.md runs, and the loss it adds does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from generator.losses import LOSSES, Melodies, Targets
from generator.starts import ContourLoss

PAGE = (Path(__file__).parent.parent / "docs" / "losses.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the page's code defines."""
    torch.set_num_threads(1)
    defined: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, defined)  # noqa: S102 - our own page
    return defined


def test_the_example_measures_the_range(names: dict[str, Any]) -> None:
    tokens = np.zeros((2, 256), np.uint8)
    tokens[:, ::4] = np.resize([41, 59], 64)  # 18 semitones
    tokens[1, 8] = 41 + 30
    assert names["SingableLoss"]()(Melodies(tokens), Targets(4, 67, True)).tolist() == [0, 1]


def test_a_request_is_chosen_by_the_examples_loss(names: dict[str, Any]) -> None:
    found = names["found"]
    pitch = Melodies(found.tokens[None]).sounding[0]
    sung = np.ptp(pitch[pitch > 0])
    assert found.trace[-1].losses["singable"] == pytest.approx(max(sung - 18, 0) / 12)
    assert found.trace[-1].losses["singable"] < 0.5


def test_the_page_lists_every_loss() -> None:
    for loss, weight in LOSSES:
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| {loss.name} |"))
        assert row.endswith(f"| {weight:g} |".replace(" 0.", " .")), loss.name
    assert ContourLoss.__name__ in PAGE
