"""The default melody model: a variational autoencoder of 16 bars, after MusicVAE (Roberts et al. 2018).

Tokens [B, 256] are cut into 16 bars. A bidirectional LSTM reads each bar; attention lets the bars see each other; each
bar gives 32 of the latent's 512 numbers. On the way back a conductor (attention over the bars, fed by z alone) makes
one embedding a bar, and the core decoder, an LSTM whose state is reset at every bar from its embedding, writes 16
tokens. Only the last token crosses a bar line. MusicVAE's own conductor is an LSTM that takes no input but z; a
feed-forward one is its sibling, and trains in hours on one core where the LSTM stack does not start to learn.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generator.musicvae.attention import attend
from generator.musicvae.config import Config
from generator.musicvae.decode import CoreWeights, FastCore, gumbel_noise
from generator.musicvae.product import Kept


class Block(nn.Module):
    """One pre-norm transformer layer over the bars: [B, bars, width] -> same. Starts as the identity."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_mix, self.norm_bar = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for layer in (self.out, self.down):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.out(attend(self.qkv(self.norm_mix(x)), self.heads))
        out: Tensor = x + self.down(F.gelu(self.up(self.norm_bar(x))))
        return out


class Mixer(nn.Module):
    """Attention over the bars between two projections: [B, bars, n_in] -> [B, bars, n_out].

    The blocks start as the identity, so that the projections alone (set from principal components) carry the first
    steps of training.
    """

    def __init__(self, n_in: int, n_out: int, config: Config) -> None:
        super().__init__()
        self.enter = nn.Linear(n_in, config.width)
        self.place = nn.Parameter(torch.zeros(config.bars, config.width))
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.layers))
        self.leave = nn.Linear(config.width, n_out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x) + self.place
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.leave(x)
        return out


class MelodyVAE(nn.Module):
    """Encoder and decoder. Latents are [B, z]; all tensors float32 outside autocast."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.read = nn.LSTM(config.tokens, config.bar_rnn, batch_first=True, bidirectional=True)
        self.bar = nn.Linear(2 * config.bar_rnn, config.width)
        self.encoder = Mixer(config.width, 2 * config.z_bar, config)
        self.conductor = Mixer(config.z_bar, config.width, config)
        self.start = nn.Linear(config.width, 2 * config.core_rnn)
        self.core = nn.LSTM(config.tokens + config.width, config.core_rnn, batch_first=True)
        self.output = nn.Linear(config.core_rnn, config.tokens)
        for name, parameter in [*self.read.named_parameters(), *self.core.named_parameters()]:
            if name.startswith("bias_hh"):  # forget gates start open, as in MusicVAE
                nn.init.ones_(parameter.data[parameter.shape[0] // 4 : parameter.shape[0] // 2])
        self._kept: Kept[FastCore] = Kept()

    def bar_embeddings(self, tokens: Tensor) -> Tensor:
        """Each bar read on its own: tokens int64 [N, 16] -> [N, width], in -1..1."""
        _, (h, _) = self.read(F.one_hot(tokens, self.config.tokens).float())  # h [2, N, bar_rnn]
        return torch.tanh(self.bar(torch.cat([h[0], h[1]], 1)))

    def encode(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """tokens int64 [B, bars * 16] -> mu, sigma [B, bars * z_bar]; sigma is a standard deviation, > 0."""
        bars = self.bar_embeddings(tokens.reshape(-1, self.config.bar))
        return self.posterior(bars.view(tokens.shape[0], self.config.bars, -1))

    def posterior(self, bars: Tensor) -> tuple[Tensor, Tensor]:
        """Bar embeddings [B, bars, width] -> mu, sigma [B, bars * z_bar]."""
        mu, raw = self.encoder(bars).float().chunk(2, dim=-1)  # each [B, bars, z_bar]
        return mu.flatten(1), F.softplus(raw).flatten(1) + 1e-4

    def embed(self, z: Tensor) -> Tensor:
        """The conductor: z [B, bars * z_bar] -> one embedding a bar [B, bars, width]."""
        embeddings: Tensor = self.conductor(z.view(z.shape[0], self.config.bars, self.config.z_bar))
        return embeddings

    def initial_state(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Core decoder's state at the start of a bar: [..., width] -> (h, c), each [1, ..., core_rnn]."""
        c, h = torch.tanh(self.start(embedding)).chunk(2, dim=-1)
        return h[None].contiguous(), c[None].contiguous()

    def bar_logits(self, embedding: Tensor, previous: Tensor) -> Tensor:
        """The core decoder, teacher-forced, on single bars.

        embedding [N, width]; previous one-hot [N, 16, 90], the token before each step (zeros: none). Returns
        logits [N, 16, 90].
        """
        inputs = torch.cat([previous, embedding[:, None].expand(-1, self.config.bar, -1).to(previous.dtype)], -1)
        hidden, _ = self.core(inputs, self.initial_state(embedding))
        logits: Tensor = self.output(hidden).float()
        return logits

    def teacher_forced(self, z: Tensor, tokens: Tensor) -> Tensor:
        """Logits [B, bars * 16, 90] of each token given z and all tokens before it."""
        one_hot = F.one_hot(tokens, self.config.tokens).float()
        previous = torch.cat([torch.zeros_like(one_hot[:, :1]), one_hot[:, :-1]], 1)
        logits = self.bar_logits(self.embed(z).flatten(0, 1), previous.view(-1, self.config.bar, self.config.tokens))
        return logits.view(*tokens.shape, self.config.tokens)

    @torch.no_grad()
    def decode(self, z: Tensor, temperature: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """z [B, bars * z_bar] -> tokens int64 [B, bars * 16]; temperature 0 takes the likeliest token at every step."""
        embeddings = self.embed(z)
        h, c = self.initial_state(embeddings)
        shape = (len(z), self.config.steps, self.config.tokens)
        noise = gumbel_noise(shape, temperature, generator, z.device)
        return self._core().decode(embeddings, [(h[0], c[0])], self.config.bar, noise)[0]

    def _core(self) -> FastCore:
        """The core decoder's weights laid out for decoding, worked out again when training has changed them."""
        weights = [self.core, self.output]
        return self._kept.get(weights, lambda: FastCore(CoreWeights.of_lstms([self.core], self.output)))
