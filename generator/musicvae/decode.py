"""Decoding with bars side by side: the tokens of step-by-step decoding, in a fraction of the time.

The core decoder's state is reset at every bar, so only one token crosses a bar line. All bars of all melodies are
decoded at once with a guess at the token before each; then those whose guess was wrong again, with the token that
stands there now, until nothing changes. Bar k is right after at most k + 1 rounds, mostly after two, so the result is
that of step-by-step decoding (this is Jacobi's iteration; Song et al. 2021, arXiv 2002.03629, use it on whole layers).

The embedding's share of the first layer is one product a bar and the one-hot's is a row of the weights. Sampling adds
Gumbel noise to the logits and takes the largest, which is a sample of softmax(logits / temperature): with the noise
drawn beforehand a decoding is a function, and can be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from generator.musicvae.product import Product

States = list[tuple[Tensor, Tensor]]  # (h, c) of each layer, each [..., size]
IN_VAIN = 0.5  # share of corrected bars whose last token changed, above which bars are corrected one after the other
HOLD = 0  # the commonest token at the end of a bar: the first guess


@dataclass(frozen=True)
class CoreWeights:
    """A core decoder in PyTorch's layout, gates i, f, g, o.

    layers: (weight_ih [4H, n_in], weight_hh [4H, H], bias [4H]) of each; the first reads the one-hot token, then the
    embedding. output, output_bias: [tokens, H], [tokens].
    """

    layers: list[tuple[Tensor, Tensor, Tensor]]
    output: Tensor
    output_bias: Tensor

    @classmethod
    def of_lstms(cls, lstms: Sequence[nn.LSTM], output: nn.Linear) -> CoreWeights:
        """From LSTM modules and the output projection behind them."""
        return cls(cls.lstm_layers(lstms), output.weight.detach(), output.bias.detach())

    @staticmethod
    def lstm_layers(lstms: Sequence[nn.LSTM]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """`layers`, from LSTM modules of one or more layers each. PyTorch's two biases are added."""
        layers = []
        for lstm in lstms:
            for k in range(lstm.num_layers):
                w_ih, w_hh, b_ih, b_hh = (
                    lstm.get_parameter(f"{kind}_l{k}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                )
                layers.append((w_ih.detach(), w_hh.detach(), (b_ih + b_hh).detach()))
        return layers


def gumbel_noise(
    shape: Sequence[int], temperature: float, generator: torch.Generator | None, device: torch.device
) -> Tensor | None:
    """What sampling at a temperature adds to the logits; None at temperature 0, which takes the likeliest token."""
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be a number from 0 upwards, not {temperature}")
    if temperature == 0:
        return None
    uniform = torch.rand(*shape, generator=generator, device=device)
    return uniform.log_().neg_().log_().neg_().mul_(temperature)  # 0 becomes -inf: a token that is not drawn


@torch.no_grad()
def decode_step_by_step(
    weights: CoreWeights, embeddings: Tensor, states: States, steps: int, noise: Tensor | None
) -> Tensor:
    """The plain way, one token after the other: what `decode` must equal, and is timed against.

    embeddings [B, bars, E]; states [B, bars, H] each; noise [B, bars * steps, tokens] -> tokens [B, bars * steps].
    """
    batch, bars = embeddings.shape[:2]
    n_tokens, dtype = weights.output.shape[0], weights.output.dtype
    joint = [(torch.cat([w_ih, w_hh], 1), bias) for w_ih, w_hh, bias in weights.layers]
    previous = torch.zeros(batch, n_tokens, dtype=dtype, device=embeddings.device)
    tokens = torch.empty(batch, bars * steps, dtype=torch.int64, device=embeddings.device)
    for bar in range(bars):
        state = [(h[:, bar].to(dtype), c[:, bar]) for h, c in states]
        for step in range(steps):
            x = torch.cat([previous, embeddings[:, bar].to(dtype)], 1)
            for layer, (kernel, bias) in enumerate(joint):
                h, c = state[layer]
                gates = nn.functional.linear(torch.cat([x, h], 1), kernel, bias).float()
                i, f, g, o = gates.chunk(4, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                x = (torch.sigmoid(o) * torch.tanh(c)).to(dtype)
                state[layer] = x, c
            scores = nn.functional.linear(x, weights.output, weights.output_bias).float()
            place = bar * steps + step
            token = (scores if noise is None else scores + noise[:, place]).argmax(1)
            tokens[:, place] = token
            previous = nn.functional.one_hot(token, n_tokens).to(dtype)
    return tokens


class FastCore:
    """A core decoder's weights laid out for decoding. dtype: of the products (float32 or bfloat16); the state of the
    cells and the sums stay float32."""

    def __init__(self, weights: CoreWeights, dtype: torch.dtype = torch.float32) -> None:
        n_tokens = weights.output.shape[0]
        self.tokens, self.dtype = n_tokens, dtype
        (first, first_hh, first_bias), *upper = weights.layers
        first = gates_together(first)
        self.embedding = Product(first[:, n_tokens:].to(dtype), gates_together(first_bias).float())
        nothing = first.new_zeros(1, first.shape[0])  # in front of the first token: the row behind the last token's
        self.table = torch.cat([first[:, :n_tokens].T, nothing]).float().contiguous()
        self.recurrent = Product(gates_together(first_hh).to(dtype))
        self.upper = [
            Product(gates_together(torch.cat([w_ih, w_hh], 1)).to(dtype), gates_together(bias).float())
            for w_ih, w_hh, bias in upper
        ]
        self.output = Product(weights.output.to(dtype), weights.output_bias.float())
        self.sizes = [w_hh.shape[1] for _, w_hh, _ in weights.layers]

    def constant(self, embeddings: Tensor) -> Tensor:
        """The embedding's and the bias's share of the first layer: [N, E] -> [N, 4H]."""
        return self.embedding(embeddings.to(self.dtype))

    def bars(self, constant: Tensor, states: States, before: Tensor, steps: int, noise: Tensor | None) -> Tensor:
        """Decode N bars side by side.

        constant [N, 4H]; states (h, c) each [N, H]; before int64 [N], the token in front (`self.tokens` where there is
        none); noise [N, steps, tokens] -> tokens int64 [N, steps].
        """
        hidden = torch.cat([h.to(self.dtype) for h, _ in states], 1)  # side by side: two are one product's input
        cells = [c.clone() for _, c in states]
        h = torch.split(hidden, self.sizes, 1)
        ends = [sum(self.sizes[: k + 2]) for k in range(len(self.upper))]
        starts = [sum(self.sizes[:k]) for k in range(len(self.upper))]
        tokens = torch.empty(steps, len(before), dtype=torch.int64, device=before.device)
        for step in range(steps):
            gates = self.recurrent(h[0])
            gates += constant
            gates += self.table.index_select(0, before)
            cell(gates, cells[0], h[0])
            for k, product in enumerate(self.upper):
                cell(product(hidden[:, starts[k] : ends[k]]), cells[k + 1], h[k + 1])
            scores = self.output(h[-1])
            if noise is not None:
                scores += noise[:, step]
            before = torch.argmax(scores, 1, out=tokens[step])
        return tokens.T.contiguous()

    @torch.no_grad()
    def decode(self, embeddings: Tensor, states: States, steps: int, noise: Tensor | None) -> tuple[Tensor, list[int]]:
        """embeddings [B, bars, E]; states (h, c) each [B, bars, H]; noise [B, bars * steps, tokens] or None.

        Returns tokens int64 [B, bars * steps], as `decode_step_by_step` gives them, and how many bars each round
        decoded.
        """
        batch, bars = embeddings.shape[:2]
        constant = self.constant(embeddings.flatten(0, 1))
        flat = [(h.flatten(0, 1), c.flatten(0, 1)) for h, c in states]
        noise = None if noise is None else noise.reshape(batch * bars, steps, -1)
        before = torch.full((batch, bars), HOLD, dtype=torch.int64, device=embeddings.device)
        before[:, 0] = self.tokens
        tokens = self.bars(constant, flat, before.flatten(), steps, noise).view(batch, bars, steps)
        rounds = [batch * bars]
        in_turn = False
        while True:
            actual = before.clone()
            actual[:, 1:] = tokens[:, :-1, -1]
            wrong = actual != before
            count = int(wrong.sum())
            if not count:
                return tokens.flatten(1), rounds
            # Where most corrected bars end differently than before, correcting more than the first in each melody
            # would be in vain: the next correction would overtake it.
            in_turn = in_turn or (len(rounds) > 1 and count > rounds[-1] * IN_VAIN)
            if in_turn:
                wrong &= wrong.cumsum(1) == 1
            before = torch.where(wrong, actual, before)
            rows = wrong.flatten().nonzero()[:, 0]
            chosen = [(h[rows], c[rows]) for h, c in flat]
            some_noise = None if noise is None else noise[rows]
            redone = self.bars(constant[rows], chosen, before.flatten()[rows], steps, some_noise)
            tokens.view(batch * bars, steps)[rows] = redone
            rounds.append(len(rows))


def gates_together(rows: Tensor) -> Tensor:
    """Gate order i, f, g, o -> i, f, o, g: the three sigmoids in one stretch."""
    i, f, g, o = rows.chunk(4)
    return torch.cat([i, f, o, g])


def cell(gates: Tensor, c: Tensor, h: Tensor) -> None:
    """The LSTM cell, in place: gates [N, 4H] (i, f, o, g; before the nonlinearities), c [N, H], h [N, H]."""
    size = c.shape[1]
    i, f, o = gates[:, : 3 * size].sigmoid_().chunk(3, 1)
    c.mul_(f).addcmul_(i, gates[:, 3 * size :].tanh_())
    h.copy_(torch.tanh(c).mul_(o))
