"""Reads a table in LevelDB's file format, which TensorFlow uses for the index of a checkpoint.

Format: github.com/google/leveldb, doc/table_format.md. Checksums of all blocks are verified.
"""

from __future__ import annotations

from collections.abc import Iterator

import google_crc32c

from generator.musicvae.errors import CheckpointError
from generator.musicvae.stretch import Stretch

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
FOOTER = 48
MAX_TABLE = 64_000_000  # bytes; the published models' are 3 kB
MAX_BLOCK = 16_000_000  # bytes, unpacked
MAX_ENTRIES = 100_000


def masked_crc32c(crc: int) -> int:
    """LevelDB stores checksums rotated and shifted, so that a checksum of checksums is sound."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned number of up to 64 bits -> (number, where it ends). Raises ValueError where there is none."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number that does not end")


def read_table(file: Stretch) -> Iterator[tuple[bytes, bytes]]:
    """All (key, value) of a table, in order. Raises CheckpointError where the file is not a sound one."""
    if not FOOTER <= file.size <= MAX_TABLE:
        raise CheckpointError(file.name, f"a checkpoint index of {FOOTER} to {MAX_TABLE} bytes", f"{file.size} bytes")
    footer = file.read(file.size - FOOTER, FOOTER)
    if not footer.endswith(MAGIC):
        raise CheckpointError(file.name, "a checkpoint index, which ends in LevelDB's magic number", "another ending")
    count = 0
    try:
        _, at = _handle(footer, 0)
        index, _ = _handle(footer, at)
        for _, value in _entries(_block(file, *index)):
            for entry in _entries(_block(file, *_handle(value, 0)[0])):
                count += 1
                if count > MAX_ENTRIES:
                    raise CheckpointError(file.name, f"at most {MAX_ENTRIES} entries", "more")
                yield entry
    except ValueError as error:
        raise CheckpointError(file.name, "a sound checkpoint index", str(error)) from error


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Where a block lies: ((offset, size), end of the handle)."""
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return (offset, size), at


def _block(file: Stretch, offset: int, size: int) -> bytes:
    if size > MAX_BLOCK:
        raise ValueError(f"a block of {size} bytes, where {MAX_BLOCK} are the most")
    raw = file.read(offset, size + 5)
    body, kind, checksum = raw[:size], raw[size], int.from_bytes(raw[size + 1 :], "little")
    if masked_crc32c(google_crc32c.value(raw[: size + 1])) != checksum:
        raise ValueError(f"a wrong checksum of the block at byte {offset}: the file is damaged")
    if kind == 0:
        return body
    if kind == 1:
        return _unpack(body)
    raise ValueError(f"a block packed in way {kind}, where 0 (not) and 1 (snappy) are known")


def _unpack(body: bytes) -> bytes:
    import cramjam  # here, because TensorFlow's own indexes are not packed

    length, _ = varint(body, 0)  # snappy begins with it: checked before anything is allocated
    if length > MAX_BLOCK:
        raise ValueError(f"a packed block of {length} bytes, where {MAX_BLOCK} are the most")
    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise ValueError(f"a block that snappy cannot unpack ({error})") from error


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys share beginnings: each entry holds how much of the key before it stays."""
    if len(block) < 4:
        raise ValueError("a block without an end")
    end = len(block) - 4 * (1 + int.from_bytes(block[-4:], "little"))
    if end < 0:
        raise ValueError("a block with more restart points than bytes")
    at, key = 0, b""
    while at < end:
        shared, at = varint(block, at)
        rest, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or at + rest + length > end:
            raise ValueError("an entry that reaches beyond its block")
        key = key[:shared] + block[at : at + rest]
        yield key, block[at + rest : at + rest + length]
        at += rest + length
