"""x @ W.T for a fixed W, by the fastest way that the machine offers.

On a CPU oneDNN packs the weight once, as inductor does for frozen models: on an AMD EPYC a float32 product of 16 rows
then takes half of what MKL's takes on one thread, and a third on two. It also computes every row in the same way
however many stand beside it, so that a row depends on nothing but itself; plain `linear` does not promise that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

PACKED_ROWS = 256  # the number of rows that the packing is made for; others may come, and are as fast
Kind = TypeVar("Kind")


class Product:
    """weight [n_out, n_in], float32 or bfloat16; bias [n_out] float32 or none; call with x [N, n_in] of the weight's
    dtype -> float32 [N, n_out]."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight = weight.contiguous()
        self.bias = bias
        self._call = self._packed() or self._linear

    def __call__(self, x: Tensor) -> Tensor:
        return self._call(x)

    def _linear(self, x: Tensor) -> Tensor:
        out = nn.functional.linear(x, self.weight).float()
        return out if self.bias is None else out.add_(self.bias)

    def _packed(self) -> Callable[[Tensor], Tensor] | None:
        """The packed product, where this build of PyTorch has one and it agrees with the plain one."""
        weight = self.weight
        if weight.device.type != "cpu":
            return None
        try:
            supported = weight.dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()
            if not supported or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
                return None
            packed = torch.ops.mkldnn._reorder_linear_weight(weight, PACKED_ROWS)

            def call(x: Tensor) -> Tensor:
                # A single row would be added up in another order.
                rows = x.contiguous() if len(x) != 1 else x.repeat(2, 1)
                product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, packed, None, "none", [], "")
                out = product[: len(x)].float()
                return out if self.bias is None else out.add_(self.bias)

            probe = torch.linspace(-1, 1, 3 * weight.shape[1]).view(3, -1).to(weight.dtype)
            near = torch.allclose(call(probe), self._linear(probe), rtol=1e-2, atol=1e-2)
        except (AttributeError, RuntimeError):  # another build of PyTorch, without these operators
            return None
        return call if near else None


class Kept(Generic[Kind]):
    """Something made from weights, kept for as long as these stay what they are.

    PyTorch counts writes in place, which is how optimisers and `load_state_dict` change weights; writes through `.data`
    are not counted.
    """

    def __init__(self) -> None:
        self._made: tuple[object, Kind] | None = None

    def __getstate__(self) -> dict[str, None]:
        return {"_made": None}  # packed weights can be neither copied nor pickled

    def get(self, modules: Iterable[nn.Module], make: Callable[[], Kind], variant: object = None) -> Kind:
        """What `make` gave last, or now where a weight of the modules, or `variant`, is another since."""
        weights = tuple((p.data_ptr(), p._version) for module in modules for p in module.parameters())
        if self._made is None or self._made[0] != (variant, weights):
            self._made = (variant, weights), make()
        return self._made[1]
