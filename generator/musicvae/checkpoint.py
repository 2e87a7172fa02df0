"""What every checkpoint reader offers, so that one importer takes them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from generator.musicvae.lstm_config import Shape


class Checkpoint(Protocol):
    """A checkpoint on disk whose tensors can be read one by one."""

    @property
    def name(self) -> str:
        """How errors call it."""

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Name -> shape of all tensors in it, wanted or not."""

    def check(self, tensor: str) -> None:
        """Raise CheckpointError unless `tensor` can be read as float32 numbers: its kind, place and size."""

    def stream(self, tensor: str) -> Iterator[bytes]:
        """Its numbers, row by row, as little-endian float32, in pieces of a few megabytes. A wrong checksum raises
        CheckpointError after the last piece."""
