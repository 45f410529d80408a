"""Layers that read the same input are asked together: adapters can then read it once for all of them."""

from collections.abc import Sequence

from torch import Tensor, nn


def apply_to_shared_input(layers: Sequence[nn.Module], x: Tensor) -> tuple[Tensor, ...]:
    """What each layer makes of x; through the first one's `forward_together`, if it has that."""
    together = getattr(layers[0], "forward_together", None)
    return tuple(layer(x) for layer in layers) if together is None else together(layers, x)
