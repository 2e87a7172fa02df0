"""Writes checkpoints as TensorFlow and TensorFlow.js do, sound and otherwise, for the tests of their readers."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cramjam
import google_crc32c
import numpy as np

from generator.musicvae.leveldb_table import MAGIC, masked_crc32c
from generator.musicvae.lstm_config import LstmConfig

SMALL = LstmConfig(encoder=(6, 4), decoder=(5, 7), z=3)
SMALL_JS = LstmConfig(form="hier-mel", encoder=(6,), decoder=(5, 7), z=3)
Arrays = dict[str, np.ndarray]


def random_weights(config: LstmConfig, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.3, shape).astype("<f4") for name, shape in config.tensors().items()}


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def proto(number: int, value: int | bytes, fixed32: bool = False) -> bytes:
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if fixed32:
        return varint(number << 3 | 5) + value.to_bytes(4, "little")
    return varint(number << 3) + varint(value)


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Entries whose keys share beginnings, with one restart point."""
    out, last = bytearray(), b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(last)) and key[shared] == last[shared]:
            shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return bytes(out) + (0).to_bytes(4, "little") + (1).to_bytes(4, "little")


def table(entries: list[tuple[bytes, bytes]], snappy: bool = False, per_block: int = 7) -> bytes:
    """A LevelDB table of several blocks."""
    out = bytearray()

    def add(body: bytes) -> bytes:
        packed = bytes(cramjam.snappy.compress_raw(body)) if snappy else body
        stored = packed + bytes([snappy])
        handle = varint(len(out)) + varint(len(packed))
        out.extend(stored + masked_crc32c(google_crc32c.value(stored)).to_bytes(4, "little"))
        return handle

    handles = []
    for first in range(0, len(entries), per_block):
        some = entries[first : first + per_block]
        handles.append((some[-1][0], add(block(some))))
    meta, index = add(block([])), add(block(handles))
    return bytes(out) + (meta + index).ljust(40, b"\0") + MAGIC


def entry(array: np.ndarray, shard: int, offset: int, changes: Mapping[str, Any]) -> bytes:
    """A BundleEntryProto; changes replace what it says."""
    says: dict[str, Any] = {"dtype": 1 if array.dtype == np.float32 else 9, "shape": array.shape, "size": array.nbytes}
    says |= {"shard": shard, "offset": offset, "checksum": masked_crc32c(google_crc32c.value(array.tobytes()))}
    says.update(changes)
    shape = b"".join(proto(2, proto(1, size)) for size in says["shape"])
    message = proto(1, says["dtype"]) + proto(2, shape)
    for number, name in ((3, "shard"), (4, "offset"), (5, "size")):
        message += proto(number, says[name]) if says[name] else b""  # zeros are left out
    return message + proto(6, says["checksum"], fixed32=True)


def write_bundle(
    prefix: Path,
    arrays: Mapping[str, np.ndarray],
    shards: int = 1,
    snappy: bool = False,
    changes: Mapping[str, dict[str, Any]] | None = None,
    header: bytes | None = None,
) -> Path:
    """PREFIX.index and its data files; returns the index. changes: per tensor, false statements of the index."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    data = [bytearray() for _ in range(shards)]
    entries = [(b"", proto(1, shards) + proto(3, proto(1, 1)) if header is None else header)]
    for k, (name, array) in enumerate(sorted(arrays.items())):
        shard = k % shards
        entries.append((name.encode(), entry(array, shard, len(data[shard]), (changes or {}).get(name, {}))))
        data[shard] += array.tobytes()
    for k, content in enumerate(data):
        Path(f"{prefix}.data-{k:05d}-of-{shards:05d}").write_bytes(content)
    index = Path(f"{prefix}.index")
    index.write_bytes(table(entries, snappy))
    return index


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_tfjs(folder: Path, arrays: Mapping[str, np.ndarray], stored: str = "float32", cut: int = 1000) -> Path:
    """A manifest and shards of `cut` bytes; returns the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    data, weights = bytearray(), []
    for name, array in arrays.items():
        says: dict[str, Any] = {"name": name, "shape": list(array.shape), "dtype": "float32"}
        if stored == "float32":
            data += array.tobytes()
        else:
            low, high = float(array.min()), float(array.max())
            scale = (high - low) / np.iinfo(stored).max or 1.0
            data += np.round((array - low) / scale).astype(np.dtype(stored).newbyteorder("<")).tobytes()
            says["quantization"] = {"dtype": stored, "min": low, "scale": scale}
        weights.append(says)
    paths = []
    for k, first in enumerate(range(0, len(data), cut)):
        paths.append(f"group1-shard{k + 1}")
        (folder / paths[-1]).write_bytes(data[first : first + cut])
    manifest = folder / "weights_manifest.json"
    manifest.write_text(json.dumps([{"paths": paths, "weights": weights}]))
    return manifest
