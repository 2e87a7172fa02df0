"""A stretch of bytes in a file or in several files laid end to end, read in pieces and never beyond its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from generator.musicvae.errors import CheckpointError

PIECE = 1 << 22  # bytes read at once: what streaming keeps in memory


@dataclass(frozen=True)
class Stretch:
    """parts: (file, first byte, bytes) in order; name: how an error calls the whole."""

    name: str
    parts: Sequence[tuple[Path, int, int]]

    @classmethod
    def of_files(cls, name: str, paths: Sequence[Path]) -> Stretch:
        """Whole files. Raises CheckpointError where one is missing or is no plain file."""
        parts = []
        for path in paths:
            if not path.is_file():
                raise CheckpointError(path, "a file", "none" if not path.exists() else "something else")
            parts.append((path, 0, path.stat().st_size))
        return cls(name, parts)

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(size for _, _, size in self.parts)

    def pieces(self, offset: int, size: int, what: str | None = None) -> Iterator[bytes]:
        """`size` bytes from `offset`, in pieces. Raises CheckpointError, about `what`, where they do not lie within."""
        if offset < 0 or size < 0 or offset + size > self.size:
            found = f"bytes {offset} to {offset + size} claimed"
            raise CheckpointError(self.name, f"data within the file's {self.size} bytes", found, what)
        for path, first, length in self.parts:
            take = min(size, length - offset)
            if take <= 0:
                offset -= length
                continue
            with path.open("rb") as file:
                file.seek(first + offset)
                size -= take
                offset = 0
                while take:
                    piece = file.read(min(take, PIECE))
                    if not piece:
                        raise CheckpointError(path, f"{take} more bytes", "the file's end", what)
                    take -= len(piece)
                    yield piece
            if not size:
                return

    def read(self, offset: int, size: int, what: str | None = None) -> bytes:
        """The same in one piece."""
        return b"".join(self.pieces(offset, size, what))
