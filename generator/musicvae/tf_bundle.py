"""Reads TensorFlow's checkpoints (tensor bundle V2: PREFIX.index and PREFIX.data-*-of-*) without TensorFlow.

Format: tensorflow/core/util/tensor_bundle and tensorflow/core/protobuf/tensor_bundle.proto. Files may lie in a
directory or in a .tar, as Magenta publishes them; members of a tar are read where they lie, nothing is unpacked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c

from generator.musicvae.errors import CheckpointError
from generator.musicvae.leveldb_table import masked_crc32c, read_table, varint
from generator.musicvae.lstm_config import Shape
from generator.musicvae.stretch import Stretch
from generator.musicvae.tar_members import tar_members

FLOAT32 = 1  # types.proto
MAX_SHARDS = 1000


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies (BundleEntryProto)."""

    dtype: int = 0
    shape: Shape = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    checksum: int = 0
    sliced: bool = False


@dataclass(frozen=True)
class TfBundle:
    """A checkpoint. name: how errors call it; entries by tensor name; shards: the data files."""

    name: str
    entries: Mapping[str, Entry]
    shards: list[Stretch] = field(repr=False)

    @property
    def shapes(self) -> Mapping[str, Shape]:
        return {name: entry.shape for name, entry in self.entries.items()}

    def check(self, tensor: str) -> None:
        entry = self.entries[tensor]
        if entry.dtype != FLOAT32 or entry.sliced:
            found = "a tensor in slices" if entry.sliced else f"TensorFlow's type {entry.dtype}"
            raise CheckpointError(self.name, "float32 numbers in one piece", found, tensor)
        if entry.size != 4 * math.prod(entry.shape):
            expected = f"{4 * math.prod(entry.shape)} bytes for shape {list(entry.shape)}"
            raise CheckpointError(self.name, expected, f"{entry.size} bytes", tensor)
        if entry.shard >= len(self.shards):
            found = f"data in file {entry.shard}"
            raise CheckpointError(self.name, f"data in one of {len(self.shards)} files", found, tensor)
        shard = self.shards[entry.shard]
        if entry.offset + entry.size > shard.size:
            found = f"{shard.size}: the file is cut off, or the index is wrong"
            raise CheckpointError(shard.name, f"at least {entry.offset + entry.size} bytes", found, tensor)

    def stream(self, tensor: str) -> Iterator[bytes]:
        self.check(tensor)
        entry, crc = self.entries[tensor], 0
        shard = self.shards[entry.shard]
        for piece in shard.pieces(entry.offset, entry.size, tensor):
            crc = google_crc32c.extend(crc, piece)
            yield piece
        if masked_crc32c(crc) != entry.checksum:
            found = f"{masked_crc32c(crc):#010x}: the file is damaged"
            raise CheckpointError(shard.name, f"checksum {entry.checksum:#010x}", found, tensor)


def open_bundle(path: Path) -> TfBundle:
    """The bundle at a path: its .index, its prefix, a directory with one .index, or a .tar.

    Raises CheckpointError, naming the file, where there is none or it is not sound. Tensors are checked when asked for.
    """
    if path.is_dir():
        indexes = sorted(path.glob("*.index"))
        if len(indexes) != 1:
            raise CheckpointError(path, "a directory with one .index file", f"{len(indexes)} of them")
        path = indexes[0]
    elif path.suffix != ".index" and path.with_name(path.name + ".index").is_file():
        path = path.with_name(path.name + ".index")
    if not path.is_file():
        raise CheckpointError(path, "a checkpoint", "no such file")
    if path.suffix == ".index":
        files = {other.name: Stretch.of_files(other.name, [other]) for other in path.parent.glob(f"{path.stem}.data-*")}
        return _bundle(path.name, Stretch.of_files(path.name, [path]), path.stem, files)
    members = tar_members(path)
    index = next((name for name in members if name.endswith(".index")), None)
    if index is None:
        raise CheckpointError(path.name, "a tar with a file whose name ends in .index", f"{len(members)} other files")
    return _bundle(path.name, members[index], index.removesuffix(".index"), members)


def _bundle(name: str, index: Stretch, prefix: str, files: Mapping[str, Stretch]) -> TfBundle:
    header, entries = None, {}
    for key, value in read_table(index):
        try:
            if not key:
                header = dict(_fields(value))
            else:
                entries[key.decode()] = _entry(value)
        except ValueError as error:  # UnicodeDecodeError is one
            raise CheckpointError(index.name, "a sound entry", str(error), ascii(key)) from error
    if header is None:
        raise CheckpointError(index.name, "the header of a checkpoint", "none")
    count = header.get(1, 0)
    if not isinstance(count, int) or not 1 <= count <= MAX_SHARDS or header.get(2, 0) != 0:
        expected = f"1 to {MAX_SHARDS} little-endian data files"
        raise CheckpointError(index.name, expected, f"{count!r} files, byte order {header.get(2, 0)!r}")
    shards = []
    for k in range(count):
        shard = f"{prefix}.data-{k:05d}-of-{count:05d}"
        if shard not in files:
            raise CheckpointError(name, f"the data file {shard}", "no such file beside the index")
        shards.append(files[shard])
    return TfBundle(name, entries, shards)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field of a protobuf message."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        value: int | bytes
        if key & 7 == 0:
            value, at = varint(message, at)
        elif key & 7 in (1, 2, 5):
            size = {1: 8, 5: 4}.get(key & 7, 0)
            if not size:
                size, at = varint(message, at)
            if at + size > len(message):
                raise ValueError("a field that reaches beyond its message")
            value = message[at : at + size]
            at += size
        else:
            raise ValueError(f"a field of wire type {key & 7}")
        yield key >> 3, value


def _entry(message: bytes) -> Entry:
    values: dict[str, int] = {}
    shape: list[int] = []
    sliced = False
    names = {1: "dtype", 3: "shard", 4: "offset", 5: "size"}
    for number, value in _fields(message):
        if number in names and isinstance(value, int):
            values[names[number]] = value
        elif number == 2 and isinstance(value, bytes):
            for kind, dimension in _fields(value):
                if kind == 2 and isinstance(dimension, bytes):
                    size = dict(_fields(dimension)).get(1, 0)
                    shape.append(size if isinstance(size, int) else -1)
            if len(shape) > 8:
                raise ValueError("a tensor of more than 8 dimensions")
        elif number == 6 and isinstance(value, bytes):
            values["checksum"] = int.from_bytes(value, "little")
        elif number == 7:
            sliced = True
    return Entry(shape=tuple(shape), sliced=sliced, **values)
