"""Weights of our own networks in safetensors files: no pickle, sizes checked before anything is allocated.

A file's metadata says which network it holds (`kind`), its config, and how it was trained; tensors are float16.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from generator.musicvae.errors import CheckpointError

MAX_BYTES = 64_000_000  # a default network takes at most 12 MB

Module = TypeVar("Module", bound=nn.Module)


def save_weights(module: nn.Module, kind: str, config: Any, path: Path, trained: dict[str, Any]) -> None:
    """Write all tensors as float16, whole or not at all. trained: what the file says of its data, time and figures."""
    tensors = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in module.state_dict().items()}
    metadata = {"kind": kind, "config": json.dumps(dataclasses.asdict(config)), "trained": json.dumps(trained)}
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata)
    part.replace(path)


def load_weights(path: Path, kind: str, config_class: Any, module_class: type[Module]) -> Module:
    """The network in a file, as float32, ready to use and not to train.

    Raises CheckpointError, which names the file, the tensor, what was expected and what was found.
    """
    remedy = "; get the file from the project again"
    if not path.is_file():
        raise CheckpointError(path.name, "a weights file", f"none at {path}{remedy}")
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointError(path.name, f"at most {MAX_BYTES} bytes", f"{path.stat().st_size}")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("kind") != kind:
                raise CheckpointError(path.name, f"weights of kind {kind!r}", repr(metadata.get("kind"))[:60])
            config = _config(path, metadata, config_class)
            with torch.device("meta"):  # shapes only: a config that asks for much allocates nothing
                module = module_class(config)
            expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
            found = set(file.keys())
            if found != set(expected):
                name = sorted(found ^ set(expected))[0]
                states = ("such a tensor", "none") if name in expected else ("no such tensor", "one")
                raise CheckpointError(path.name, states[0], states[1] + remedy, name)
            tensors = {}
            for name, shape in expected.items():
                if tuple(file.get_slice(name).get_shape()) != shape:
                    raise CheckpointError(path.name, str(shape), str(file.get_slice(name).get_shape()), name)
                tensors[name] = file.get_tensor(name).to(torch.float32)
                if not torch.isfinite(tensors[name]).all():
                    raise CheckpointError(path.name, "finite numbers", "some that are not" + remedy, name)
    except SafetensorError as error:
        raise CheckpointError(path.name, "a whole safetensors file", f"{error}{remedy}") from error
    module.load_state_dict(tensors, assign=True)
    return module.eval().requires_grad_(False)


def trained_with(path: Path) -> dict[str, Any]:
    """What a weights file says of its training; empty where it says nothing. The file must have been loaded before."""
    with safe_open(path, "pt") as file:
        said = json.loads((file.metadata() or {}).get("trained", "{}"))
    return said if isinstance(said, dict) else {}


def _config(path: Path, metadata: dict[str, str], config_class: Any) -> Any:
    """The config in the metadata, checked by its own class."""
    try:
        return config_class(**json.loads(metadata.get("config", "")))
    except (ValueError, TypeError) as error:
        raise CheckpointError(path.name, f"a {config_class.__name__} in the metadata", str(error)[:200]) from error
