"""Sizes of a melody model, checked when built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


def check_sizes(what: str, sizes: Mapping[str, object]) -> None:
    """ValueError unless every size is a whole number from 1 to 8192. what: whose sizes, for the message."""
    for name, value in sizes.items():
        if not isinstance(value, int) or not 1 <= value <= 8192:
            raise ValueError(f"{what} config: {name} must be a whole number from 1 to 8192, not {value!r}")


@dataclass(frozen=True)
class Config:
    """tokens: alphabet; bar: sixteenths a bar; z_bar: latent numbers a bar; width: numbers that stand for a bar on both
    sides; heads, layers: attention over bars; bar_rnn: LSTM that reads a bar, each way; core_rnn: LSTM that writes
    one."""

    tokens: int = 90
    bar: int = 16
    bars: int = 16
    z_bar: int = 32
    width: int = 192
    heads: int = 6
    layers: int = 2
    bar_rnn: int = 128
    core_rnn: int = 256

    def __post_init__(self) -> None:
        check_sizes("model", vars(self))
        if self.width % self.heads:
            raise ValueError(f"model config: width {self.width} is not a multiple of heads {self.heads}")

    @property
    def z(self) -> int:
        """Length of the latent vector."""
        return self.bars * self.z_bar

    @property
    def steps(self) -> int:
        """Tokens in a melody."""
        return self.bars * self.bar
