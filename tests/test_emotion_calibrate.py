"""Fitting shares and temperatures: probabilities come nearer to how often they come true, on pictures not fitted to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emotion import EmotionError
from emotion.build import recalibrate
from emotion.calibrate import Calibration, cross_fitted, fit, surprise
from emotion.evaluate import score
from emotion.recognizer import MODEL, Embedded, Probabilities
from tests.emotion_pictures import faces


def made_up(count: int, sureness: tuple[float, ...], seed: int = 0) -> tuple[Probabilities, np.ndarray]:
    """Networks (count, 2, 3, 7) that see the label through noise, each as sure as it is told to be, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 7, count)
    evidence = 1.5 * np.eye(7)[labels][:, None, None] + rng.normal(0, 1.5**0.5, (count, 2, 3, 7))
    powers = np.exp(evidence * np.array(sureness)[:, None])
    return powers / powers.sum(-1, keepdims=True), labels


def test_no_calibration_is_the_shipped_ensemble() -> None:
    model = Embedded()
    for face in faces()[:5]:
        mean = Calibration().ensemble(model.networks(face)[None])[0]
        assert np.allclose(mean, model.expressions(face), atol=1e-6)


def test_a_network_that_is_too_sure_is_softened() -> None:
    networks, labels = made_up(3000, (1.0, 6.0, 1.0))
    fitted = fit(networks, labels)
    assert fitted.temperatures[1] > 2 * max(fitted.temperatures[0], fitted.temperatures[2])
    assert sum(fitted.shares) == pytest.approx(1)


def test_a_fit_helps_pictures_that_it_has_not_seen() -> None:
    networks, labels = made_up(1500, (3.0, 6.0, 0.3))
    before, after = Calibration().ensemble(networks), cross_fitted(networks, labels)
    assert np.allclose(after.sum(1), 1)
    assert surprise(after, labels) < surprise(before, labels)
    assert score("", labels.tolist(), after).calibration_error < score("", labels.tolist(), before).calibration_error


def test_few_pictures_move_it_little() -> None:
    networks, labels = made_up(10, (1.0, 6.0, 1.0))
    assert max(fit(networks, labels).shares) < 0.5


def test_too_few_pictures_are_named() -> None:
    networks, labels = made_up(30, (1.0, 1.0, 1.0))
    labels[:] = 3
    labels[0] = 2
    with pytest.raises(EmotionError, match="1 pictures"):
        cross_fitted(networks, labels)


def test_the_file_takes_a_calibration(tmp_path: Path) -> None:
    """The ONNX file computes what the fit promised, and a second fit starts from the networks again."""
    first, second = Calibration((0.2, 0.5, 0.3), (1.5, 2.0, 0.8)), Calibration((0.6, 0.1, 0.3), (1.0, 0.5, 1.0))
    data = MODEL.read_bytes()
    for calibration in (first, second):
        data = recalibrate(data, calibration)
        (tmp_path / "fitted.onnx").write_bytes(data)
        model = Embedded(tmp_path / "fitted.onnx")
        for face in faces()[:5]:
            expected = calibration.ensemble(model.networks(face)[None])[0]
            assert np.allclose(model.expressions(face), expected, atol=1e-6)
