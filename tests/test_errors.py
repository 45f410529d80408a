"""Errors travel: between processes, into copies, into logs, as they stand when that happens."""

import copy
import pickle

import pytest

from tunesmith.errors import (
    DiskFull,
    Interrupted,
    MissingExtraError,
    ProviderError,
    RunError,
    TunesmithError,
)

ERRORS = [
    RunError("in-use", "Another process works on it.", where="runs/x", found="pid 1", do="wait"),
    TunesmithError("defect", "x"),
    DiskFull("/disk", 10, 5, "make room"),
    MissingExtraError("postgres", "A PostgreSQL store"),
    ProviderError("refused-key", "The key was refused."),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_an_error_comes_back_whole_from_a_pickle_and_a_copy(error: TunesmithError) -> None:
    error.add_note("a note")
    for back in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(back) is type(error)
        assert (str(back), repr(back), back.as_dict()) == (str(error), repr(error), error.as_dict())
        assert (
            vars(back) == vars(error)
            and back.exit_code == error.exit_code
            and back.args == error.args
        )


def test_the_repr_is_of_the_error_as_it_stands() -> None:
    error = Interrupted("stopped", "Stopped.")
    error.do, error.exit_code = "tunesmith resume runs/x", 143
    assert (
        repr(error)
        == "Interrupted(code='interrupted/stopped', what='Stopped.', do='tunesmith resume runs/x')"
    )
    assert pickle.loads(pickle.dumps(error)).exit_code == 143
