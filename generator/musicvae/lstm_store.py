"""Magenta's models in safetensors files: written from any checkpoint in a stream, read into `LstmVAE`.

The file keeps Magenta's names and TensorFlow's layout, so that it can be compared with its source; its metadata has the
config. Writing holds a few megabytes in memory, reading one tensor beside the model.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from generator.musicvae.checkpoint import Checkpoint
from generator.musicvae.errors import CheckpointError
from generator.musicvae.lstm_config import LstmConfig, check_shapes, infer_config

if TYPE_CHECKING:
    from generator.musicvae.lstm_vae import LstmVAE

KIND = "musicvae-lstm"
MAX_BYTES = 8_000_000_000  # the published model has 704,246,120 bytes of weights


def write_stream(
    checkpoint: Checkpoint, path: Path, source: str, advance: Callable[[int], object] = lambda size: None
) -> LstmConfig:
    """Write the melody model in a checkpoint to `path`, whole or not at all, and return its config.

    source: what the metadata says of where it is from; advance: called with the bytes of each piece written. Raises
    CheckpointError, naming file and tensor, where a tensor is missing, misshapen or damaged, or no room is left.
    """
    config = infer_config(checkpoint.shapes, checkpoint.name)
    tensors = config.tensors()
    for name in tensors:
        checkpoint.check(name)
    header: dict[str, object] = {
        "__metadata__": {"kind": KIND, "config": json.dumps(config.as_dict()), "source": source}
    }
    total = 0
    for name, shape in tensors.items():
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [total, total + size]}
        total += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in tensors:
                for piece in checkpoint.stream(name):
                    if not np.isfinite(np.frombuffer(piece, "<f4")).all():
                        raise CheckpointError(checkpoint.name, "finite numbers", "some that are not", name)
                    file.write(piece)
                    advance(len(piece))
            if file.tell() != 8 + len(text) + total:
                raise CheckpointError(checkpoint.name, f"{total} bytes of weights", f"{file.tell() - 8 - len(text)}")
        os.chmod(part, 0o644)
        os.replace(part, path)
    except OSError as error:
        raise CheckpointError(path, f"room for {total} bytes", error.strerror or str(error)) from error
    finally:
        Path(part).unlink(missing_ok=True)
    return config


def load_lstm(path: Path) -> LstmVAE:
    """The model in a safetensors file, ready to use and not to train.

    Raises CheckpointError, which names the file, the tensor, what was expected and what was found.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    from generator.musicvae.lstm_vae import LstmVAE
    from generator.musicvae.magenta_names import fill

    if not path.is_file():
        raise CheckpointError(path, "a safetensors file", "no such file")
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointError(path, f"at most {MAX_BYTES} bytes", f"{path.stat().st_size}")
    try:
        with safe_open(path, "pt") as file:
            names = set(file.keys())
            config = _config(path, file.metadata() or {})
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            check_shapes(config, shapes, str(path))
            for name in config.tensors():
                if file.get_slice(name).get_dtype() not in ("F32", "F16", "BF16"):
                    raise CheckpointError(path, "floating-point numbers", file.get_slice(name).get_dtype(), name)

            def read(name: str) -> torch.Tensor:
                values: torch.Tensor = file.get_tensor(name)
                low, high = torch.aminmax(values)  # NaN where one is; in one pass, and without an array of answers
                if not (torch.isfinite(low) and torch.isfinite(high)):
                    raise CheckpointError(path, "finite numbers", "some that are not", name)
                return values

            with torch.device("meta"):  # shapes only: no time is lost on numbers that are replaced at once
                model = LstmVAE(config)
            fill(model.to_empty(device="cpu"), read)
    except SafetensorError as error:
        raise CheckpointError(path, "a whole safetensors file", str(error)) from error
    return model.eval().requires_grad_(False)


def _config(path: Path, metadata: dict[str, str]) -> LstmConfig:
    if metadata.get("kind") != KIND:
        raise CheckpointError(path, f"a model of kind {KIND!r} in the metadata", ascii(metadata.get("kind"))[:60])
    try:
        fields = json.loads(metadata.get("config", ""))
        if not isinstance(fields, dict):
            raise ValueError("no object")
        return LstmConfig.from_dict(fields)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, "the config of a melody model in the metadata", str(error)[:200]) from error
