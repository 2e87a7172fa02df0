"""Sizes of Magenta's hierarchical melody models, and the tensors that models of these sizes have.

MusicVAE (Roberts et al. 2018, arXiv 1803.05428) in two forms: `hierdec-mel` reads the 256 steps with a stack of
bidirectional LSTMs, `hier-mel` reads each bar first and then the bars. Both write with an LSTM conductor and a core
decoder. Names and shapes are those of Magenta's checkpoints (TensorFlow's layout: [inputs, outputs]).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from generator.musicvae.errors import CheckpointError

FORMS = ("hierdec-mel", "hier-mel")
CONDUCTOR = "decoder/hierarchical_level_0"
CORE = "core_decoder/decoder"
CELL = "multi_rnn_cell/cell_0/lstm_cell"

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LstmConfig:
    """form: `hierdec-mel` or `hier-mel`; encoder: LSTM sizes each way, layer by layer (hier-mel: of both levels);
    decoder: LSTM sizes of the conductor and, with weights of its own, of the core decoder; z: latent numbers;
    tokens: alphabet; bar: sixteenths a bar; bars: bars a melody. The defaults are the published 16-bar model's.
    """

    form: str = "hierdec-mel"
    encoder: tuple[int, ...] = (2048, 2048)
    decoder: tuple[int, ...] = (1024, 1024)
    z: int = 512
    tokens: int = 90
    bar: int = 16
    bars: int = 16

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"model config: form must be one of {', '.join(FORMS)}, not {self.form!r}")
        for name in ("encoder", "decoder"):
            sizes = getattr(self, name)
            if not isinstance(sizes, tuple) or not 1 <= len(sizes) <= 8:
                raise ValueError(f"model config: {name} must be a tuple of 1 to 8 LSTM sizes, not {sizes!r}")
            for size in sizes:
                _check_size(name, size)
        for name in ("z", "tokens", "bar", "bars"):
            _check_size(name, getattr(self, name))

    @property
    def steps(self) -> int:
        """Tokens in a melody."""
        return self.bars * self.bar

    def as_dict(self) -> dict[str, Any]:
        """The fields, as JSON can hold them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> LstmConfig:
        """The reverse of `as_dict`. Raises ValueError for unknown fields and values out of range."""
        known: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        unknown = set(known) - set(cls.__dataclass_fields__)
        if unknown:
            raise ValueError(f"model config: unknown fields {', '.join(sorted(unknown))}")
        return cls(**known)

    def encoder_stacks(self) -> list[tuple[str, int]]:
        """(name in front of `cell_0`, numbers read at each step) of each encoder level."""
        if self.form == "hierdec-mel":
            return [("encoder", self.tokens)]
        return [("encoder/hierarchical_level_0", self.tokens), ("encoder/hierarchical_level_1", 2 * self.encoder[-1])]

    def tensors(self) -> dict[str, Shape]:
        """Name -> shape of every tensor of the model, as in Magenta's checkpoints."""
        shapes: dict[str, Shape] = {}
        for prefix, n_in in self.encoder_stacks():
            for layer, size in enumerate(self.encoder):
                for way in ("fw", "bw"):
                    _lstm(shapes, f"{prefix}/cell_{layer}/bidirectional_rnn/{way}/{CELL}", n_in, size)
                n_in = 2 * size
        width, state = self.decoder[-1], 2 * sum(self.decoder)
        _dense(shapes, "encoder/mu", 2 * self.encoder[-1], self.z)
        _dense(shapes, "encoder/sigma", 2 * self.encoder[-1], self.z)
        _dense(shapes, f"{CONDUCTOR}/initial_state", self.z, state)
        _dense(shapes, f"{CORE}/z_to_initial_state", width, state)
        _dense(shapes, f"{CORE}/output_projection", width, self.tokens)
        for cells, n_in in ((CONDUCTOR, 1), (f"{CORE}/multi_rnn_cell", self.tokens + width)):
            for layer, size in enumerate(self.decoder):
                _lstm(shapes, f"{cells}/cell_{layer}/lstm_cell", n_in, size)
                n_in = size
        return shapes


def _check_size(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 8192:
        raise ValueError(f"model config: {name} must be whole numbers from 1 to 8192, not {value!r}")


def _dense(shapes: dict[str, Shape], name: str, n_in: int, n_out: int) -> None:
    shapes[f"{name}/kernel"], shapes[f"{name}/bias"] = (n_in, n_out), (n_out,)


def _lstm(shapes: dict[str, Shape], name: str, n_in: int, size: int) -> None:
    _dense(shapes, name, n_in + size, 4 * size)


def infer_config(shapes: Mapping[str, Shape], file: str) -> LstmConfig:
    """The config of the model whose tensors have these names and shapes; other names are passed over.

    Raises CheckpointError, naming `file` and the tensor, where one is missing or has a shape that does not fit.
    """
    form = "hier-mel" if any(name.startswith("encoder/hierarchical_level_") for name in shapes) else "hierdec-mel"
    stem = "encoder/hierarchical_level_0" if form == "hier-mel" else "encoder"
    try:
        config = LstmConfig(
            form=form,
            encoder=_layers(shapes, f"{stem}/cell_{{}}/bidirectional_rnn/fw/{CELL}/bias", file),
            decoder=_layers(shapes, f"{CORE}/multi_rnn_cell/cell_{{}}/lstm_cell/bias", file),
            z=_width(shapes, "encoder/mu/bias", file),
        )
    except ValueError as error:
        raise CheckpointError(file, "sizes of a MusicVAE melody model", str(error)) from error
    check_shapes(config, shapes, file)
    return config


def check_shapes(config: LstmConfig, shapes: Mapping[str, Shape], file: str) -> None:
    """Raise CheckpointError, naming `file` and the tensor, unless all tensors of the model are there as expected."""
    for name, expected in config.tensors().items():
        found = shapes.get(name)
        if found is None:
            raise CheckpointError(file, f"a tensor of shape {list(expected)}", "no such tensor", tensor=name)
        if tuple(found) != expected:
            raise CheckpointError(file, f"shape {list(expected)}", f"shape {list(found)}", tensor=name)


def _width(shapes: Mapping[str, Shape], name: str, file: str) -> int:
    shape = shapes.get(name)
    if shape is None or len(shape) != 1:
        raise CheckpointError(
            file,
            "a vector, as a hierdec-mel or hier-mel model has",
            "no such tensor" if shape is None else f"shape {list(shape)}",
            tensor=name,
        )
    return shape[0]


def _layers(shapes: Mapping[str, Shape], pattern: str, file: str) -> tuple[int, ...]:
    """LSTM sizes from the lengths of their biases, which hold four gates."""
    sizes: list[int] = []
    while not sizes or pattern.format(len(sizes)) in shapes:
        name = pattern.format(len(sizes))
        length = _width(shapes, name, file)
        if length % 4:
            raise CheckpointError(file, "a length that four gates divide", f"length {length}", tensor=name)
        sizes.append(length // 4)
    return tuple(sizes)
