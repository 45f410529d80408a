"""Layers with the same input, computed together: adapters then read the input only once."""

from collections.abc import Sequence

from torch import Tensor, nn


def apply_to_shared_input(layers: Sequence[nn.Module], x: Tensor) -> tuple[Tensor, ...]:
    """Each layer's output for x, through the first layer's `forward_together` if it has one."""
    together = getattr(layers[0], "forward_together", None)
    return tuple(layer(x) for layer in layers) if together is None else together(layers, x)
