"""Equality up to the order of summation: one tolerance for all tests of the engine.

Two programs that compute the same formula differ in rounding, and by how much depends on the
processor: vector width, fused multiply-add and the number of threads determine the order of a sum.
For a sum of n terms in any order, |computed - exact| <= n eps sum |terms| to first order (Higham,
Accuracy and Stability of Numerical Algorithms, 2002, section 4.2). A value that passes through
several products passes through their lengths, added up. The size of the terms is estimated by the
largest entry of the tensor: an entry near zero is a sum of large terms that cancel, and its error
does not shrink with it, which is why a tolerance relative to each entry, or an absolute one that
was fitted on one machine, fails on another.
"""

from typing import Any

import torch

ELEMENT_TERMS = 1000
"""Additions behind one entry of a tiny test model: two layers of products over 16 to 64 entries,
forward and backward, over tens of tokens."""
LOSS_TERMS = 100
"""Effective additions behind a loss: it is a mean, in which the errors of many tokens average out.
"""


def get_tolerance(expected: Any, terms: int = ELEMENT_TERMS) -> float:
    """The largest absolute difference that rounding explains: terms x eps(dtype) x largest entry.

    Python floats count as float32, in which they were computed.
    """
    is_typed = isinstance(expected, torch.Tensor) and expected.is_floating_point()
    dtype = expected.dtype if is_typed else torch.float32
    largest = torch.as_tensor(expected).detach().abs().max().item()
    return terms * torch.finfo(dtype).eps * largest


def assert_close_within_rounding(
    actual: Any, expected: Any, terms: int = ELEMENT_TERMS, *, scale: float | None = None
) -> None:
    """Fail where an entry differs by more than rounding in any order of summation explains.

    Args:
        actual, expected: tensors, arrays, floats or sequences of floats of one shape.
        terms: additions that one entry passes through.
        scale: size of the terms that are added, where they are larger than every entry of the
            result (a difference of log-probabilities, say).
    """
    allowed = get_tolerance(expected if scale is None else torch.tensor([scale]), terms)
    torch.testing.assert_close(
        torch.as_tensor(actual),
        torch.as_tensor(expected),
        rtol=0,
        atol=allowed,
        check_dtype=False,
    )
