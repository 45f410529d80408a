"""Layers with the same input are computed together, so that adapters can read the input once for
all of them.
"""

from collections.abc import Sequence

from torch import Tensor, nn


def apply_to_shared_input(layers: Sequence[nn.Module], x: Tensor) -> tuple[Tensor, ...]:
    """The output of each layer for x; through the first layer's `forward_together`, if it has that
    method.
    """
    together = getattr(layers[0], "forward_together", None)
    return tuple(layer(x) for layer in layers) if together is None else together(layers, x)
