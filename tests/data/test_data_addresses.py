"""Addresses in place of paths."""

import pytest

from tunesmith.data.read import read_dataset
from tunesmith.errors import DataError


@pytest.mark.parametrize(
    "address", ["https://example.org/x.jsonl", "hf://datasets/a/b", "s3://bucket/x.csv"]
)
def test_an_address_is_called_one(address: str) -> None:
    with pytest.raises(DataError) as caught:
        read_dataset(address)
    assert caught.value.code == "data/an-address" and "download" in caught.value.hint
