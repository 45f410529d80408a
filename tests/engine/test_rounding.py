"""The tolerance of the engine's tests: passes sums in any order, catches what is not rounding."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.testing.rounding_tolerance import assert_close_within_rounding, get_tolerance


@given(st.integers(0, 2**32 - 1), st.integers(2, 400))
def test_sums_in_any_order_are_equal(seed: int, terms: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    products = torch.randn(terms, 16, generator=generator)
    shuffled = products[torch.randperm(terms, generator=generator)]
    one_by_one = torch.zeros(16)
    for product in shuffled:
        one_by_one += product
    size = float(products.abs().sum(0).max())
    assert_close_within_rounding(one_by_one, products.sum(0), terms, scale=size)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_missing_term_is_not_rounding(dtype: torch.dtype) -> None:
    products = torch.randn(1000, 16, generator=torch.Generator().manual_seed(0), dtype=dtype)
    with pytest.raises(AssertionError, match="not close"):
        assert_close_within_rounding(products[1:].sum(0), products.sum(0))


def test_the_tolerance_follows_size_and_precision() -> None:
    small, large = torch.tensor([1e-9, -2.0]), torch.tensor([1e-9, -2000.0])
    assert get_tolerance(large) == pytest.approx(1000 * get_tolerance(small))
    assert get_tolerance(small.double()) < 1e-8 * get_tolerance(small)
    assert get_tolerance(0.5, 100) == pytest.approx(50 * 2**-23)  # floats count as float32


def test_a_difference_of_shapes_or_a_nan_is_not_rounding() -> None:
    with pytest.raises(AssertionError):
        assert_close_within_rounding(torch.ones(2), torch.ones(3))
    with pytest.raises(AssertionError):
        assert_close_within_rounding(torch.tensor([float("nan")]), torch.ones(1))
