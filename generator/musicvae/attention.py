"""Attention over the bars of a melody."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def attend(projected: Tensor, heads: int) -> Tensor:
    """Every bar attends to all: queries, keys and values [B, bars, 3 * width] -> [B, bars, width].

    Written out, since PyTorch's fused attention on the CPU takes three times as long on the way back as all the rest
    of a layer when there are only 16 positions.
    """
    batch, bars, width = projected.shape[0], projected.shape[1], projected.shape[2] // 3
    q, k, v = projected.view(batch, bars, 3, heads, width // heads).permute(2, 0, 3, 1, 4)  # [B, heads, bars, size]
    weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(width // heads), -1)
    mixed: Tensor = (weights @ v).transpose(1, 2).reshape(batch, bars, width)
    return mixed
