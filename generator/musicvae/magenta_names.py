"""Where each tensor of a Magenta checkpoint goes in `LstmVAE`, and back.

TensorFlow keeps one kernel [inputs + size, 4 * size] and one bias an LSTM, gates in the order i, j, f, o (j is the
candidate). PyTorch keeps two matrices, transposed, gates in the order i, f, g, o.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from generator.musicvae.lstm_config import CELL, CONDUCTOR, CORE
from generator.musicvae.lstm_vae import CoreDecoder, LstmVAE, Reader, Writer, set_forget_bias

Array = npt.NDArray[np.float32]
GATES = (0, 2, 1, 3)  # PyTorch's gate k stands in this block of TensorFlow's; its own inverse


@dataclass(frozen=True)
class Slot:
    """One tensor of a checkpoint: the parameters that hold it, along TensorFlow's first axis, and whether the other
    axis has LSTM gates."""

    parameters: tuple[nn.Parameter, ...]
    gates: bool

    def set(self, values: Tensor) -> None:
        """Copy a tensor in TensorFlow's layout into the parameters, block by block, so without a second copy."""
        first = 0
        with torch.no_grad():
            for parameter in self.parameters:
                rows = values
                if parameter.ndim == 2:
                    rows = values[first : first + parameter.shape[1]]
                    first += parameter.shape[1]
                blocks = parameter.chunk(4) if self.gates else (parameter,)
                sources = [rows.chunk(4, -1)[k] for k in GATES] if self.gates else [rows]
                for block, source in zip(blocks, sources, strict=True):
                    block.copy_(
                        source.contiguous().T if source.ndim == 2 else source
                    )  # three times faster than without

    def get(self, of: Callable[[nn.Parameter], Tensor | None] = lambda parameter: parameter) -> Array:
        """The parameters, or what `of` gives for each (such as its gradient; None counts as zeros), in TensorFlow's
        layout."""
        parts = []
        for parameter in self.parameters:
            value = of(parameter)
            value = torch.zeros_like(parameter) if value is None else value.detach()
            if self.gates:
                value = torch.cat([value.chunk(4)[source] for source in GATES])
            parts.append(value if value.ndim == 1 else value.T)
        array: Array = torch.cat(parts).float().cpu().numpy()
        return array


def slots(model: LstmVAE) -> dict[str, Slot]:
    """Checkpoint name -> slot, for every tensor in `model.config.tensors()`."""
    table: dict[str, Slot] = {}
    for (prefix, _), reader in zip(model.config.encoder_stacks(), model.readers, strict=True):
        assert isinstance(reader, Reader)  # noqa: S101 - tells the type checker what the list holds
        for layer, lstm in enumerate(reader.layers):
            for way, suffix in (("fw", ""), ("bw", "_reverse")):
                _lstm(table, f"{prefix}/cell_{layer}/bidirectional_rnn/{way}/{CELL}", lstm, suffix)
    _linear(table, "encoder/mu", model.mu)
    _linear(table, "encoder/sigma", model.sigma)
    _writer(table, CONDUCTOR, f"{CONDUCTOR}/initial_state", model.conductor)
    table.update(core_slots(model.core, CORE))
    return table


def fill(model: LstmVAE, read: Callable[[str], Tensor]) -> None:
    """Set all weights of a model, whatever its memory held before. read: a tensor by name, in TensorFlow's layout."""
    for module in model.modules():
        if isinstance(module, nn.LSTM):
            set_forget_bias(module)
    for name, slot in slots(model).items():
        slot.set(read(name))


def core_slots(core: CoreDecoder, prefix: str) -> dict[str, Slot]:
    """The same for a core decoder alone; `prefix` is `core_decoder/decoder`, or `decoder` in the 2-bar models."""
    table: dict[str, Slot] = {}
    _writer(table, f"{prefix}/multi_rnn_cell", f"{prefix}/z_to_initial_state", core)
    _linear(table, f"{prefix}/output_projection", core.output)
    return table


def _writer(table: dict[str, Slot], cells: str, start: str, writer: Writer) -> None:
    _linear(table, start, writer.start)
    for layer, lstm in enumerate(writer.layers):
        _lstm(table, f"{cells}/cell_{layer}/lstm_cell", lstm, "")


def _linear(table: dict[str, Slot], name: str, linear: nn.Linear) -> None:
    for kind, parameter in (("kernel", "weight"), ("bias", "bias")):
        table[f"{name}/{kind}"] = Slot((linear.get_parameter(parameter),), gates=False)


def _lstm(table: dict[str, Slot], name: str, lstm: nn.Module, suffix: str) -> None:
    table[f"{name}/kernel"] = Slot(
        (lstm.get_parameter(f"weight_ih_l0{suffix}"), lstm.get_parameter(f"weight_hh_l0{suffix}")), gates=True
    )
    table[f"{name}/bias"] = Slot((lstm.get_parameter(f"bias_ih_l0{suffix}"),), gates=True)
