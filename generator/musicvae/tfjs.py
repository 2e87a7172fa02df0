"""Reads TensorFlow.js checkpoints: weights_manifest.json and its shards, as magenta-js publishes its models.

The tensors of a group lie end to end, in the manifest's order, in files cut anywhere. A quantised tensor holds uint8 or
uint16 numbers; value = number * scale + min (tfjs-core, io_utils.ts).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from generator.musicvae.errors import CheckpointError
from generator.musicvae.lstm_config import Shape
from generator.musicvae.stretch import Stretch

MANIFEST = "weights_manifest.json"
MAX_MANIFEST = 16_000_000  # bytes
SIZES = {"float32": 4, "int32": 4, "uint16": 2, "float16": 2, "uint8": 1, "bool": 1, "complex64": 8}


@dataclass(frozen=True)
class Weight:
    """A tensor: its kind when read and as stored, and where it lies in its group."""

    shape: Shape
    dtype: str
    stored: str
    scale: float
    minimum: float
    group: Stretch
    offset: int

    @property
    def size(self) -> int:
        """Bytes stored."""
        return SIZES[self.stored] * math.prod(self.shape)


@dataclass(frozen=True)
class TfJs:
    """A checkpoint. name: how errors call it; weights by tensor name."""

    name: str
    weights: Mapping[str, Weight]

    @property
    def shapes(self) -> Mapping[str, Shape]:
        return {name: weight.shape for name, weight in self.weights.items()}

    def check(self, tensor: str) -> None:
        weight = self.weights[tensor]
        if weight.dtype != "float32" or weight.stored not in ("float32", "uint16", "uint8"):
            found = f"{weight.dtype} stored as {weight.stored}"
            raise CheckpointError(self.name, "float32, stored as such or as uint16 or uint8", found, tensor)

    def stream(self, tensor: str) -> Iterator[bytes]:
        self.check(tensor)
        weight = self.weights[tensor]
        kind, left = np.dtype(weight.stored).newbyteorder("<"), b""
        for piece in weight.group.pieces(weight.offset, weight.size, tensor):
            data = left + piece
            whole = len(data) - len(data) % kind.itemsize  # a shard may end inside a number
            numbers, left = np.frombuffer(data[:whole], kind), data[whole:]
            if weight.stored != "float32":  # in double precision, as JavaScript counts
                numbers = numbers.astype(np.float64) * weight.scale + weight.minimum
            yield numbers.astype("<f4").tobytes()


def open_tfjs(path: Path) -> TfJs:
    """The checkpoint at a path: weights_manifest.json, or the directory it lies in.

    Raises CheckpointError, naming the file and the tensor, where it is not sound.
    """
    path = path / MANIFEST if path.is_dir() else path
    weights: dict[str, Weight] = {}
    for group in _groups(path):
        shards = [_shard(path, name) for name in _list(path, group.get("paths"), "a list of paths")]
        stretch, offset = Stretch.of_files(path.name, shards), 0
        files = " to ".join(sorted({shards[0].name, shards[-1].name}, key=len)) if shards else path.name
        for entry in _list(path, group.get("weights"), "a list of weights"):
            name, weight = _weight(path, entry, stretch, offset)
            if name in weights:
                raise CheckpointError(path.name, "each tensor once", "it twice", name)
            weights[name] = weight
            offset += weight.size
            if offset > stretch.size:
                found = f"{stretch.size}: a file is cut off, or the manifest is wrong"
                raise CheckpointError(files, f"at least {offset} bytes", found, name)
        if offset != stretch.size:
            raise CheckpointError(files, f"{offset} bytes in all", f"{stretch.size}")
    return TfJs(path.name, weights)


def manifest_paths(path: Path) -> list[Path]:
    """The files that a manifest names, whether they are there or not, each beside it."""
    return [
        _shard(path, name) for group in _groups(path) for name in _list(path, group.get("paths"), "a list of paths")
    ]


def _groups(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise CheckpointError(path, "a manifest of weights", "no such file")
    if path.stat().st_size > MAX_MANIFEST:
        raise CheckpointError(path.name, f"at most {MAX_MANIFEST} bytes", f"{path.stat().st_size}")
    try:
        groups = _list(path, json.loads(path.read_bytes()), "a list of groups")
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path.name, "JSON", str(error)) from error
    for group in groups:
        if not isinstance(group, dict):
            raise CheckpointError(path.name, "groups with paths and weights", _shown(group))
    return groups


def _list(path: Path, value: Any, expected: str) -> list[Any]:
    if not isinstance(value, list):
        raise CheckpointError(path.name, expected, _shown(value))
    return value


def _shard(path: Path, name: Any) -> Path:
    """A file beside the manifest, and nowhere else."""
    plain = isinstance(name, str) and name not in ("", ".", "..") and "\0" not in name
    if not plain or PurePosixPath(name).name != name or PureWindowsPath(name).name != name:
        raise CheckpointError(path.name, "names of files beside the manifest", _shown(name))
    shard = path.with_name(name)
    if shard.resolve().parent != path.resolve().parent:
        raise CheckpointError(path.name, "files beside the manifest", f"{name}, which leads elsewhere")
    return shard


def _weight(path: Path, entry: Any, group: Stretch, offset: int) -> tuple[str, Weight]:
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(name, str):
        raise CheckpointError(path.name, "weights with a name", _shown(entry))
    shape, dtype, packing = entry.get("shape"), entry.get("dtype"), entry.get("quantization", {})
    if not isinstance(shape, list) or len(shape) > 8 or not all(type(n) is int and 0 <= n < 1 << 31 for n in shape):
        raise CheckpointError(path.name, "a shape of whole numbers", _shown(shape), name)
    stored = packing.get("dtype", dtype) if isinstance(packing, dict) else None
    if dtype not in SIZES or stored not in SIZES:
        raise CheckpointError(path.name, f"one of the types {', '.join(SIZES)}", _shown(stored or dtype), name)
    scale, minimum = packing.get("scale", 1.0), packing.get("min", 0.0)
    for number in (scale, minimum):
        if type(number) not in (int, float) or not abs(number) < 1e30:
            raise CheckpointError(path.name, "scale and min as numbers", _shown(packing), name)
    return name, Weight(tuple(shape), dtype, stored, float(scale), float(minimum), group, offset)


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
