"""x @ W.T by the fastest way that the machine offers for a fixed W."""

from __future__ import annotations

import torch
from torch import Tensor


class Product:
    """weight [n_out, n_in]; call with x [N, n_in] -> [N, n_out] in the weight's dtype."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight.contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        return torch.nn.functional.linear(x, self.weight)
