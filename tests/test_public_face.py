"""The public face: sorted, complete, light."""

import subprocess
import sys

import pytest

import tunesmith


def test_names_are_sorted_and_few() -> None:
    assert tunesmith.__all__ == sorted(tunesmith.__all__)
    assert len(tunesmith.__all__) <= 60


@pytest.mark.parametrize("name", tunesmith.__all__)
def test_every_name_is_there_and_has_a_sentence(name: str) -> None:
    thing = getattr(tunesmith, name)
    assert thing.__name__.removeprefix("tunesmith.") == name
    assert (thing.__doc__ or "").strip()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="attribute nonsense"):
        _ = tunesmith.nonsense


def test_importing_loads_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "numpy", "pydantic", "scipy")
    code = f"import sys, tunesmith; print([name for name in {heavy} if name in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "[]\n"
    )
