"""`python -m generator bench decode`: side by side against step by step, and against the machine's limit, in one run.

The limit is the time that the matrix products of one decoding take by themselves, in order, each made once, by the
fastest product that the machine offers: no nonlinearity, no sampling, no bar decoded twice. All three times include the
conductor.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from generator.musicvae import bench_encode
from generator.musicvae.stopwatch import best, machine

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from generator.musicvae.conductor import FastConductor
    from generator.musicvae.decode import CoreWeights, States

MODELS = ("full", "default")
# Scales of Google's pretrained 2-bar core decoder (weights' deviation times the root of the inputs), so that random
# weights behave as a trained model's do. With this bias 7 of 10 tokens sampled at temperature 1 are "hold", as in real
# melodies, and a third of the bars have to be decoded again, as with that decoder.
RECURRENT, TOKEN, EMBEDDING, UPPER, OUTPUT, START, HOLD_BIAS = 1.4, 0.19, 1.0, 2.2, 4.9, 1.0, 7.0
TEMPERATURE = 1.0
DRAWS = 4  # melodies at least, for each figure


@dataclass
class Subject:
    """A model to time: its conductor, and what the core decoder needs. embed: z [B, z] -> [B, bars, width]."""

    z: int
    bars: int
    steps: int
    weights: CoreWeights
    embed: Callable[[Tensor], Tensor]
    states: Callable[[Tensor], States]
    conductor_products: list[tuple[Tensor, int, int]]  # weight, rows a melody, how often: of an LSTM conductor


@dataclass(frozen=True)
class Result:
    """Times in seconds, best of several, mean over batches. rounds: needed by side by side, mean; again: bars decoded
    again for each bar decoded; differ: tokens unlike step by step's."""

    model: str
    dtype: str
    threads: int
    batch: int
    step_by_step: float
    side_by_side: float
    limit: float
    rounds: float
    again: float
    differ: int

    def line(self) -> str:
        """One row of the table."""
        return (
            f"{self.model:8}{self.dtype:>9}{self.threads:>8}{self.batch:>6}{1e3 * self.step_by_step:>14.1f}"
            f"{1e3 * self.side_by_side:>14.1f}{1e3 * self.limit:>9.1f}{self.step_by_step / self.side_by_side:>9.1f}"
            f"{self.limit / self.side_by_side:>10.2f}{self.rounds:>8.1f}{self.again:>7.2f}{self.differ:>8}"
        )


HEADER = (
    f"{'model':8}{'products':>9}{'threads':>8}{'batch':>6}{'step by step':>14}{'side by side':>14}{'limit':>9}"
    f"{'faster':>9}{'of limit':>10}{'rounds':>8}{'again':>7}{'differ':>8}\n"
    f"{'':31}{'ms':>14}{'ms':>14}{'ms':>9}{'times':>9}{'':>18}{'of 1':>7}{'tokens':>8}"
)


def full_subject(dtype: torch.dtype) -> Subject:
    """The published model's sizes with random weights; the encoder plays no part."""
    import torch

    from generator.musicvae.conductor import FastConductor
    from generator.musicvae.lstm_config import LstmConfig
    from generator.musicvae.lstm_vae import CoreDecoder, Writer

    config = LstmConfig()
    width = config.decoder[-1]
    torch.manual_seed(0)
    conductor, core = Writer(config.z, 1, config.decoder), CoreDecoder(width, config.tokens, config.decoder)
    _draw(conductor.start, START)
    for layer, lstm in enumerate(conductor.lstms):
        _draw_lstm(lstm, layer)
    _draw(core.start, START)
    for layer, lstm in enumerate(core.lstms):
        _draw_lstm(lstm, layer)
    _draw(core.output, OUTPUT)
    with torch.no_grad():
        core.lstms[0].get_parameter("weight_ih_l0")[:, : config.tokens].normal_(0, TOKEN)
        core.output.bias[0] = HOLD_BIAS
    fast = FastConductor(conductor.lstms, dtype)
    return Subject(
        config.z,
        config.bars,
        config.bar,
        _weights(core.lstms, core.output, dtype),
        lambda z: fast(conductor.initial_states(z), config.bars),
        core.initial_states,
        _conductor_products(fast, config.bars),
    )


def default_subject(dtype: torch.dtype) -> Subject:
    """The default model with random weights of the same scales."""
    import torch

    from generator.musicvae.config import Config
    from generator.musicvae.model import MelodyVAE

    config = Config()
    torch.manual_seed(0)
    model = MelodyVAE(config).eval()
    _draw_lstm(model.core, 0)
    _draw(model.output, OUTPUT)
    _draw(model.start, START)
    with torch.no_grad():
        model.core.get_parameter("weight_ih_l0")[:, : config.tokens].normal_(0, TOKEN)
        model.output.bias[0] = HOLD_BIAS

    def states(embeddings: Tensor) -> States:
        h, c = model.initial_state(embeddings)
        return [(h[0], c[0])]

    weights = _weights([model.core], model.output, dtype)
    return Subject(config.z, config.bars, config.bar, weights, model.embed, states, [])


def _draw(linear: nn.Linear, scale: float) -> None:
    from torch import nn

    nn.init.normal_(linear.weight, std=scale / linear.in_features**0.5)


def _draw_lstm(lstm: nn.LSTM, layer: int) -> None:
    from torch import nn

    first = layer == 0
    own = RECURRENT / lstm.hidden_size**0.5 if first else UPPER / (2 * lstm.hidden_size) ** 0.5
    nn.init.normal_(lstm.get_parameter("weight_ih_l0"), std=EMBEDDING / lstm.input_size**0.5 if first else own)
    nn.init.normal_(lstm.get_parameter("weight_hh_l0"), std=own)


def _weights(lstms: list[nn.LSTM], output: nn.Linear, dtype: torch.dtype) -> CoreWeights:
    from generator.musicvae.decode import CoreWeights

    made = CoreWeights.of_lstms(lstms, output)
    layers = [(w_ih.to(dtype), w_hh.to(dtype), bias.to(dtype)) for w_ih, w_hh, bias in made.layers]
    return dataclasses.replace(
        made, layers=layers, output=made.output.to(dtype), output_bias=made.output_bias.to(dtype)
    )


def _conductor_products(fast: FastConductor, bars: int) -> list[tuple[Tensor, int, int]]:
    recurrent = [(product.weight, 1, bars) for product in fast.recurrent]
    return recurrent + [(product.weight, bars, 1) for product in fast.inputs]


def products(subject: Subject, batch: int) -> Callable[[], None]:
    """What makes the products of one decoding of `batch` melodies, and nothing else."""
    import torch

    from generator.musicvae.product import Product

    def product(weight: Tensor, rows: int) -> Callable[[], Tensor]:
        made, x = Product(weight), torch.randn(batch * rows, weight.shape[1]).to(weight.dtype)
        return lambda: made(x)

    (w_ih, w_hh, _), *upper = subject.weights.layers
    n_tokens, bars = subject.weights.output.shape[0], subject.bars
    once = product(w_ih[:, n_tokens:], bars)
    joined = [w_hh, *(torch.cat([into, own], 1) for into, own, _ in upper), subject.weights.output]
    step = [product(weight, bars) for weight in joined]
    conductor = [(product(weight, rows), times) for weight, rows, times in subject.conductor_products]
    z = torch.randn(batch, subject.z)

    def work() -> None:
        for call, times in conductor:
            for _ in range(times):
                call()
        if not conductor:  # no LSTM: it counts as it is
            subject.embed(z)
        once()
        for _ in range(subject.steps):
            for call in step:
                call()

    return work


def measure(model: str, dtype_name: str, threads: int, batches: list[int], repeats: int) -> Iterator[Result]:
    """Time one model at every batch size."""
    import torch

    from generator.musicvae.decode import FastCore, decode_step_by_step, gumbel_noise

    torch.set_num_threads(threads)
    dtype = getattr(torch, dtype_name)
    with torch.no_grad():
        subject = full_subject(dtype) if model == "full" else default_subject(dtype)
        fast = FastCore(subject.weights, dtype)
        for batch in batches:
            draws = max(1, DRAWS // batch)  # how many rounds a single melody needs is a matter of luck: take several
            times, rounds, again, differ = [0.0, 0.0], 0.0, 0.0, 0
            for draw in range(draws):
                generator = torch.Generator().manual_seed(draw)
                z = torch.randn(batch, subject.z, generator=generator)
                shape = (batch, subject.bars * subject.steps, subject.weights.output.shape[0])
                noise = gumbel_noise(shape, TEMPERATURE, generator, z.device)

                def plain(z: Tensor = z, noise: Tensor | None = noise) -> Tensor:
                    embeddings = subject.embed(z)
                    states = subject.states(embeddings)
                    return decode_step_by_step(subject.weights, embeddings, states, subject.steps, noise)

                def quick(z: Tensor = z, noise: Tensor | None = noise) -> tuple[Tensor, list[int]]:
                    embeddings = subject.embed(z)
                    return fast.decode(embeddings, subject.states(embeddings), subject.steps, noise)

                step_by_step, expected = best(plain, repeats)
                side_by_side, (tokens, bars) = best(quick, 2 * repeats)
                times = [times[0] + step_by_step / draws, times[1] + side_by_side / draws]
                rounds += len(bars) / draws
                again += (sum(bars) / bars[0] - 1) / draws
                differ += int((tokens != expected).sum())
            floor = best(products(subject, batch), 2 * repeats)[0]
            yield Result(model, dtype_name, threads, batch, times[0], times[1], floor, rounds, again, differ)


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Mount `bench decode` on a command line."""
    kinds = subparsers.add_parser("bench", help="time parts of the project on this machine").add_subparsers(
        required=True, metavar="part"
    )
    parser = kinds.add_parser("decode", help="decoding: side by side, step by step, and the machine's limit")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--products", nargs="+", choices=("float32", "bfloat16"), default=["float32", "bfloat16"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 16, 64])
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many runs counts (default 3)")
    parser.set_defaults(run=_run)
    bench_encode.add_part(kinds)


def _run(args: argparse.Namespace) -> None:
    if min([args.repeats, *args.threads, *args.batches]) < 1:
        raise ValueError("bench decode: repeats, threads and batches must be 1 or more")
    print(f"{machine()}, random weights, best of {args.repeats}")
    print(HEADER)
    for model in args.models:
        for dtype in args.products:
            for threads in args.threads:
                for result in measure(model, dtype, threads, args.batches, args.repeats):
                    print(result.line(), flush=True)
