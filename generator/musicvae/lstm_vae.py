"""MusicVAE's hierarchical melody model (Roberts et al. 2018, arXiv 1803.05428) with Magenta's arithmetic, in PyTorch.

One code for both forms: `hierdec-mel` (a stack of bidirectional LSTMs over all steps) and `hier-mel` (one over each
bar, then one over the bars). A conductor LSTM, fed by z alone, makes one embedding a bar; the core decoder, whose state
is reset at every bar from the embedding, writes the bar's tokens. Only the last token crosses a bar line.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from generator.musicvae.conductor import FastConductor
from generator.musicvae.decode import CoreWeights, FastCore, States, gumbel_noise
from generator.musicvae.lstm_config import LstmConfig
from generator.musicvae.product import Kept


def magenta_lstm(n_in: int, size: int, bidirectional: bool = False) -> nn.LSTM:
    """One LSTM layer as Magenta starts and trains it.

    TensorFlow's cell has one bias and adds 1 to the forget gate at run time; PyTorch's second bias is that constant.
    """
    lstm = nn.LSTM(n_in, size, batch_first=True, bidirectional=bidirectional)
    limit = (6.0 / (n_in + size + 4 * size)) ** 0.5  # glorot_uniform over the joint kernel [n_in + size, 4 size]
    for name, parameter in lstm.named_parameters():
        if name.startswith("weight"):
            nn.init.uniform_(parameter, -limit, limit)
        else:
            nn.init.zeros_(parameter)
    set_forget_bias(lstm)
    return lstm


def set_forget_bias(lstm: nn.LSTM) -> None:
    """Make the second bias what TensorFlow's cell adds at run time: 1 for the forget gate, 0 elsewhere, not trained."""
    for name, parameter in lstm.named_parameters():
        if name.startswith("bias_hh"):
            with torch.no_grad():
                parameter.zero_()
                parameter[lstm.hidden_size : 2 * lstm.hidden_size] = 1.0
            parameter.requires_grad_(False)


def magenta_linear(n_in: int, n_out: int) -> nn.Linear:
    """A dense layer whose weights start at N(0, 0.001), and its bias at 0: mu, sigma and both initial states."""
    linear = nn.Linear(n_in, n_out)
    nn.init.normal_(linear.weight, std=0.001)
    nn.init.zeros_(linear.bias)
    return linear


class Reader(nn.Module):
    """Bidirectional LSTM layers: [B, T, n_in] -> the last layer's final states, both ways, [B, 2 * size]."""

    def __init__(self, n_in: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        widths = (n_in, *(2 * size for size in sizes))
        self.layers = nn.ModuleList(magenta_lstm(a, b, bidirectional=True) for a, b in zip(widths, sizes, strict=False))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """lengths int64 [B], 0..T: what lies behind them is not read; the state of length 0 is 0."""
        sequence: Tensor | PackedSequence = x
        if lengths is not None:
            sequence = pack_padded_sequence(x, lengths.clamp_min(1).cpu(), batch_first=True, enforce_sorted=False)
        final = x.new_zeros(())
        for layer in self.layers:
            sequence, (h, _) = layer(sequence)
            final = torch.cat([h[0], h[1]], 1)
        if lengths is not None:
            final = final * (lengths > 0).to(final)[:, None]
        return final


class Writer(nn.Module):
    """LSTM layers whose first state is a dense layer's tanh: the conductor and the core decoder."""

    def __init__(self, n_start: int, n_in: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = sizes
        self.start = magenta_linear(n_start, 2 * sum(sizes))
        self.layers = nn.ModuleList(magenta_lstm(a, b) for a, b in zip((n_in, *sizes), sizes, strict=False))

    @property
    def lstms(self) -> list[nn.LSTM]:
        """The layers, one LSTM each."""
        return [layer for layer in self.layers if isinstance(layer, nn.LSTM)]

    def initial_states(self, start: Tensor) -> States:
        """[..., n_start] -> (h, c) of each layer, each [..., size]. Magenta keeps c before h."""
        parts = torch.split(torch.tanh(self.start(start)), [size for size in self.sizes for _ in range(2)], dim=-1)
        return list(zip(parts[1::2], parts[0::2], strict=True))

    def forward(self, x: Tensor, start: Tensor) -> Tensor:
        """x [B, T, n_in], start [B, n_start] -> outputs of the last layer [B, T, sizes[-1]]."""
        for layer, (h, c) in zip(self.layers, self.initial_states(start), strict=True):
            x, _ = layer(x, (h[None].contiguous(), c[None].contiguous()))
        return x


class CoreDecoder(Writer):
    """The core decoder with its output projection: one embedding [N, width] -> `steps` tokens."""

    def __init__(self, width: int, tokens: int, sizes: tuple[int, ...]) -> None:
        super().__init__(width, tokens + width, sizes)
        self.tokens = tokens
        self.output = nn.Linear(sizes[-1], tokens)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self._kept: Kept[FastCore] = Kept()

    def fast(self, dtype: torch.dtype = torch.float32) -> FastCore:
        """The weights laid out for decoding, with products in `dtype`."""
        return self._kept.get([self], lambda: FastCore(CoreWeights.of_lstms(self.lstms, self.output), dtype), dtype)

    @torch.no_grad()
    def decode(
        self, embeddings: Tensor, steps: int, temperature: float = 0.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """embeddings [B, bars, width] -> tokens int64 [B, bars * steps]."""
        shape = (embeddings.shape[0], embeddings.shape[1] * steps, self.tokens)
        noise = gumbel_noise(shape, temperature, generator, embeddings.device)
        return self.fast().decode(embeddings, self.initial_states(embeddings), steps, noise)[0]

    def logits(self, embeddings: Tensor, previous: Tensor) -> Tensor:
        """embeddings [N, width], previous one-hot (or zeros) [N, T, tokens] -> logits [N, T, tokens]."""
        inputs = torch.cat([previous, embeddings[:, None].expand(-1, previous.shape[1], -1)], 2)
        logits: Tensor = self.output(self(inputs, embeddings))
        return logits


class LstmVAE(nn.Module):
    """Encoder, conductor and core decoder. Latents are [B, z]; all tensors float32."""

    def __init__(self, config: LstmConfig) -> None:
        super().__init__()
        self.config = config
        self.readers = nn.ModuleList(Reader(n_in, config.encoder) for _, n_in in config.encoder_stacks())
        self.mu = magenta_linear(2 * config.encoder[-1], config.z)
        self.sigma = magenta_linear(2 * config.encoder[-1], config.z)
        self.conductor = Writer(config.z, 1, config.decoder)
        self.core = CoreDecoder(config.decoder[-1], config.tokens, config.decoder)
        self._kept: Kept[FastConductor] = Kept()

    def features(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """What mu and sigma are made of: the encoder's final states, [B, 2 * encoder size]."""
        self._check(tokens)
        config, batch = self.config, tokens.shape[0]
        x = F.one_hot(tokens, config.tokens).to(self.mu.weight.dtype)
        if config.form == "hierdec-mel":
            flat: Tensor = self.readers[0](x, lengths)
            return flat
        bar_lengths = None if lengths is None else self._bar_lengths(lengths).flatten()
        bars = self.readers[0](x.view(batch * config.bars, config.bar, -1), bar_lengths)
        both: Tensor = self.readers[1](bars.view(batch, config.bars, -1))
        return both

    def encode(self, tokens: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """tokens int64 [B, steps] -> mu, sigma [B, z]; sigma is a standard deviation, > 0.

        lengths: int64 [B], tokens that count of each melody (all without it). hier-mel takes 0 or all, or one length a
        bar, [B, bars]. Raises ValueError for other lengths, shapes or tokens.
        """
        if lengths is not None:
            shapes = [(len(tokens),)] + [(len(tokens), self.config.bars)] * (self.config.form == "hier-mel")
            if tuple(lengths.shape) not in shapes:
                raise ValueError(f"lengths: expected shape {' or '.join(map(str, shapes))}, not {tuple(lengths.shape)}")
            most = self.config.steps if lengths.ndim == 1 else self.config.bar
            if len(lengths) and not 0 <= int(lengths.min()) <= int(lengths.max()) <= most:
                raise ValueError(f"lengths: expected 0 to {most} steps, not {lengths.tolist()}")
        features = self.features(tokens, lengths)
        return self.mu(features), F.softplus(self.sigma(features))

    def embed(self, z: Tensor) -> Tensor:
        """The conductor: z [B, z] -> one embedding a bar [B, bars, width], in -1..1."""
        self._check_latent(z)
        embeddings: Tensor = self.conductor(z.new_zeros(z.shape[0], self.config.bars, 1), z)
        return embeddings

    def teacher_forced(self, z: Tensor, tokens: Tensor) -> Tensor:
        """Logits [B, steps, tokens] of each token given z and all tokens before it."""
        self._check(tokens)
        config = self.config
        one_hot = F.one_hot(tokens, config.tokens).to(z.dtype)
        previous = torch.cat([torch.zeros_like(one_hot[:, :1]), one_hot[:, :-1]], 1)
        previous = previous.view(-1, config.bar, config.tokens)
        return self.core.logits(self.embed(z).flatten(0, 1), previous).view(*tokens.shape, config.tokens)

    @torch.no_grad()
    def decode(self, z: Tensor, temperature: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """z [B, z] -> tokens int64 [B, steps]; temperature 0 takes the likeliest token at every step."""
        self._check_latent(z)
        fast = self._kept.get([self.conductor], lambda: FastConductor(self.conductor.lstms))
        embeddings = fast(self.conductor.initial_states(z), self.config.bars)
        return self.core.decode(embeddings, self.config.bar, temperature, generator)

    def _check_latent(self, z: Tensor) -> None:
        if z.ndim != 2 or z.shape[1] != self.config.z:
            raise ValueError(f"z: expected shape (B, {self.config.z}), not {tuple(z.shape)}")

    def _check(self, tokens: Tensor) -> None:
        if tokens.ndim != 2 or tokens.shape[1] != self.config.steps:
            raise ValueError(f"tokens: expected shape (B, {self.config.steps}), not {tuple(tokens.shape)}")
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.config.tokens:
            raise ValueError(f"tokens: expected 0 to {self.config.tokens - 1}, found {int(tokens.max())}")

    def _bar_lengths(self, lengths: Tensor) -> Tensor:
        """Lengths [B] (0 or all, as Magenta's two-level encoder takes them) or [B, bars] -> [B, bars]."""
        if lengths.ndim == 2:
            return lengths
        if not bool(((lengths == 0) | (lengths == self.config.steps)).all()):
            raise ValueError(f"lengths: hier-mel expects 0 or {self.config.steps} steps, or one length a bar")
        return (lengths // self.config.bars)[:, None].expand(-1, self.config.bars)
