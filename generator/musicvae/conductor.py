"""Magenta's conductor for decoding: LSTM layers that take no input but their first state.

One layer at a time, so that only the recurrent products are made step by step; the next layer's input is one product.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from generator.musicvae.decode import CoreWeights, States, cell, gates_together
from generator.musicvae.product import Product


class FastConductor:
    """lstms: one layer each; the first one's input is zeros, so its input weights play no part. dtype: of the
    products (float32 or bfloat16)."""

    def __init__(self, lstms: Sequence[nn.LSTM], dtype: torch.dtype = torch.float32) -> None:
        layers = CoreWeights.lstm_layers(lstms)
        self.dtype = dtype
        self.first_bias = gates_together(layers[0][2])
        self.inputs = [Product(gates_together(w_ih).to(dtype), gates_together(bias)) for w_ih, _, bias in layers[1:]]
        self.recurrent = [Product(gates_together(w_hh).to(dtype)) for _, w_hh, _ in layers]

    @torch.no_grad()
    def __call__(self, states: States, bars: int) -> Tensor:
        """states (h, c) of each layer, each [B, H] -> the last layer's outputs [B, bars, H]."""
        batch = states[0][0].shape[0]
        given = self.first_bias.expand(bars, batch, -1)
        for layer, (h, c) in enumerate(states):
            h, c = h.to(self.dtype, copy=True), c.clone()
            outputs = h.new_empty(bars, *h.shape)
            for bar in range(bars):
                cell(self.recurrent[layer](h) + given[bar], c, h)
                outputs[bar] = h
            if layer < len(self.inputs):
                given = self.inputs[layer](outputs.flatten(0, 1)).view(bars, batch, -1)
        return outputs.transpose(0, 1).float()
