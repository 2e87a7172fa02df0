"""The command line: what it prints, how it fails, and the evaluation's figures."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import emotion
from emotion import __main__, evaluate
from emotion.recognizer import EXPRESSIONS, Embedded
from tests.emotion_pictures import AT_REST, SAD, SMILING, astronaut, encoded, faces, two_faces

ROOT = Path(__file__).parents[1]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(two_faces()))
    return path


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """50 photographed faces of 25 x 25 pixels in folders named by expression, a large photo, and two that are none."""
    root = tmp_path / "set"
    for name, kind in (("happiness", SMILING), ("neutral", AT_REST), ("Sad", SAD)):
        (root / name).mkdir(parents=True)
        for i in kind:
            Image.fromarray(faces()[i]).save(root / name / f"{i:03}.png")
    (root / "happiness" / "large.jpg").write_bytes(encoded(astronaut()))
    (root / "neutral" / "sky.png").write_bytes(encoded(Image.new("RGB", (200, 200), "skyblue"), "PNG"))
    (root / "neutral" / "broken.png").write_bytes(b"no picture")
    (root / "neutral" / "notes.txt").write_text("not looked at")
    return root


def test_read_prints_the_reading(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["read", str(photo), "--box", str(tmp_path / "box.png")]) == 0
    printed = capsys.readouterr().out
    for word in ("1 of 2", "embedded", "valence", "moods", "An expression is not a feeling."):
        assert word in printed
    reading = emotion.read(photo.read_bytes())
    assert f"{reading.mood} ({emotion.category(reading.mood).korean})" in printed
    assert Image.open(tmp_path / "box.png").size == (1024, 600)


def test_read_json_is_the_reading(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["read", str(photo), "--face", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    reading = emotion.read(photo.read_bytes(), face=1)
    assert printed["moods"] == reading.moods
    assert printed["face"] == 1
    assert printed["faces"][1]["width"] == reading.faces[1].width


def test_without_its_weights_deepface_gives_way(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    emotion.recognizer.load_recogniser.cache_clear()
    for command in (["read", str(photo), "--recogniser", "deepface"], ["compare", str(photo)]):
        assert __main__.main(command) == 0
        printed = capsys.readouterr()
        assert "embedded" in printed.out
        assert "python -m emotion fetch" in printed.err


def test_exit_statuses_and_messages(photo: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = subprocess.run(
            [sys.executable, "-m", "emotion", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert "Traceback" not in result.stderr
        return result.returncode, result.stderr

    (tmp_path / "none.jpg").write_bytes(b"no picture")
    assert run("read", str(photo))[0] == 0
    assert "not a picture" in (failed := run("read", str(tmp_path / "none.jpg")))[1]
    assert failed[0] == 1
    assert "No such file" in (failed := run("read", str(tmp_path / "nowhere.jpg")))[1]
    assert failed[0] == 1
    assert run("read", str(photo), "--face", "9") == (1, failed_face)
    assert run()[0] == run("read")[0] == run("dance")[0] == run("read", str(photo), "--face", "0")[0] == 2


failed_face = "python -m emotion read: There is no face number 9 in the picture; it shows 2.\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        __main__.main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(command in printed for command in ("read", "compare", "evaluate", "build", "fetch"))


def test_import_is_light() -> None:
    heavy = {"cv2", "deepface", "onnxruntime", "torch", "skimage", "matplotlib", "sklearn", "pandas"}
    code = f"import emotion, sys; print(sorted({heavy!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"


def test_evaluation_of_a_folder(data_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    png = tmp_path / "confusion.png"
    assert __main__.main(["evaluate", str(data_set), "--png", str(png)]) == 0
    printed = capsys.readouterr().out
    for word in (
        "accuracy",
        "balanced",
        "calibration error",
        "1 pictures without a face, 1 unreadable",
        "ms a picture",
    ):
        assert word in printed
    result = evaluate.evaluate(data_set, [Embedded()])
    ensemble, *networks = result.scores
    # 27 smiles and the large photo, 20 at rest, 3 sad ones; all but one are read as labelled.
    assert (ensemble.pictures, ensemble.confusion.sum()) == (51, 51)
    assert ensemble.confusion.sum(axis=1)[
        [EXPRESSIONS.index(name) for name in ("happy", "neutral", "sad")]
    ].tolist() == [28, 20, 3]
    assert ensemble.accuracy >= 0.95
    assert [each.name for each in networks] == list(evaluate.NETWORKS)
    assert ensemble.accuracy >= max(each.accuracy for each in networks)
    assert len(result.milliseconds["embedded"]) == 51
    assert f"{ensemble.accuracy:.3f}" in printed
    with Image.open(png) as drawn:
        assert drawn.format == "PNG"
        assert len(drawn.convert("RGB").getcolors(10**6) or []) > 50


def test_crops_are_read_whole_when_told(tmp_path: Path) -> None:
    # A face cut out so closely that no detector finds it.
    (tmp_path / "happy").mkdir()
    closely = astronaut().crop((185, 90, 265, 160)).resize((200, 200))
    (tmp_path / "happy" / "a.png").write_bytes(encoded(closely, "PNG"))
    with pytest.raises(emotion.EmotionError, match="--crops"):
        evaluate.evaluate(tmp_path, [Embedded()])
    assert evaluate.evaluate(tmp_path, [Embedded()], whole=True).scores[0].pictures == 1


@pytest.mark.parametrize("folders", [[], ["angry"], ["angry", "bored"]])
def test_evaluation_of_a_wrong_folder(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in folders:
        (tmp_path / name).mkdir()
    assert __main__.main(["evaluate", str(tmp_path)]) == 1
    assert "surprise" in capsys.readouterr().err


def test_scores_of_a_worked_example() -> None:
    # Four pictures: sure and right, sure and right, sure and wrong, unsure and right.
    def row(expression: str, share: float) -> list[float]:
        return [share if name == expression else (1 - share) / 6 for name in EXPRESSIONS]

    probabilities = np.array([row("happy", 0.9), row("happy", 0.9), row("happy", 0.9), row("sad", 0.5)])
    labels = [EXPRESSIONS.index(name) for name in ("happy", "happy", "sad", "sad")]
    result = evaluate.score("made up", labels, probabilities)
    assert result.accuracy == 0.75
    assert result.balanced == 0.75  # happy 2 of 2, sad 1 of 2
    # Three at .9, of which 2/3 are right; one at .5, which is right.
    assert result.calibration_error == pytest.approx(0.75 * abs(2 / 3 - 0.9) + 0.25 * abs(1 - 0.5))
    assert result.confusion[EXPRESSIONS.index("sad"), EXPRESSIONS.index("happy")] == 1
    with pytest.raises(ValueError, match="n > 0"):
        evaluate.score("none", [], np.zeros((0, 7)))


def test_calibrate_judges_a_fit_and_writes_it(
    tmp_path: Path, data_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "fitted.onnx"
    shutil.rmtree(data_set / "Sad")  # three are too few for five folds
    assert __main__.main(["calibrate", str(data_set), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    figures = {line.split()[0]: [float(x) for x in line.split()[1:]] for line in printed.splitlines()[1:3]}
    assert figures["fitted"][3] < figures["equal"][3]
    assert Embedded(out).expressions(faces()[1]).argmax() == 3
    assert __main__.main(["calibrate", str(tmp_path / "nothing")]) == 1
    assert "no folder" in capsys.readouterr().err
