"""From an aligned face to the probabilities of seven expressions, by either of two recognisers.

*embedded* runs the networks in assets/expressions.onnx (see docs/emotion-model-card.md) and needs nothing else.
*deepface* runs DeepFace's own network, where its weights are present.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import RecogniserError
from .face import load_deepface
from .picture import RGB
from .weights import verify, weights_file

# DeepFace's names and order.
EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
MODEL = Path(__file__).resolve().parent.parent / "assets" / "expressions.onnx"

Probabilities = NDArray[np.float64]


class Recogniser(Protocol):
    """name: as shown to the visitor."""

    name: str

    def expressions(self, face: RGB) -> Probabilities:
        """Probabilities (7,) of EXPRESSIONS, summing to 1, for a face crop (height, width, 3) uint8 RGB."""
        ...


class Embedded:
    """Three small networks averaged, over the face and its mirror image."""

    name = "embedded"

    def __init__(self, model: Path = MODEL) -> None:
        """Raises RecogniserError if the file is missing or damaged."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except Exception as err:  # onnxruntime's errors have no common base
            raise RecogniserError(
                f"The expression networks in {model.name} cannot be loaded: the file is missing or damaged. "
                "Please fetch it again, or build it: python -m emotion build."
            ) from err

    def expressions(self, face: RGB) -> Probabilities:
        return np.asarray(self._run("probabilities", face).mean(axis=0), np.float64)

    def networks(self, face: RGB) -> Probabilities:
        """What each network says by itself of the face and of its mirror image: (2, 3, 7), the networks in the order
        fer, face-api, human-models."""
        return self._run("networks", face)

    def _run(self, output: str, face: RGB) -> Probabilities:
        pair = np.stack([face, face[:, ::-1]])
        inputs = {
            "grey": np.stack([_resize(_grey(each), 64) for each in pair]).astype(np.float32),
            "colour": np.stack([_resize(each, 112) for each in pair]).astype(np.float32),
        }
        (result,) = self._session.run([output], inputs)
        return np.asarray(result, np.float64)


class DeepFaceOwn:
    """DeepFace's own network, by `DeepFace.analyze(actions=["emotion"])`."""

    name = "deepface"

    def __init__(self) -> None:
        """Raises RecogniserError if its weights are not there or not the ones that were agreed on."""
        verify(weights_file())
        self._deepface = load_deepface()

    def expressions(self, face: RGB) -> Probabilities:
        # The face is found and aligned already, so DeepFace is told to skip that.
        (found,) = self._deepface.analyze(
            face[:, :, ::-1], actions=["emotion"], detector_backend="skip", enforce_detection=False, silent=True
        )
        percent = np.array([found["emotion"][name] for name in EXPRESSIONS], np.float64)
        return np.asarray(percent / percent.sum(), np.float64)


RECOGNISERS: dict[str, type[Embedded] | type[DeepFaceOwn]] = {"embedded": Embedded, "deepface": DeepFaceOwn}


@cache
def load_recogniser(name: str) -> Recogniser:
    """The recogniser of this name, loaded once. Raises RecogniserError if there is none or it cannot run."""
    if name not in RECOGNISERS:
        raise RecogniserError(f"There is no recogniser {name[:40]!r}. There are: {', '.join(RECOGNISERS)}.")
    return RECOGNISERS[name]()


def _grey(face: RGB) -> RGB:
    import cv2

    return np.asarray(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), np.uint8)


def _resize(image: RGB, side: int) -> RGB:
    import cv2

    shrinks = min(image.shape[:2]) > side
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))
