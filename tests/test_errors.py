"""Errors have one form, cannot be changed, and travel whole between processes and into copies."""

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
    format_message,
    truncate_text,
)


def list_error_types(kind: type[TunesmithError] = TunesmithError) -> list[type[TunesmithError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in list_error_types(child))]


def build_error(kind: type[TunesmithError]) -> TunesmithError:
    if issubclass(kind, DiskFull):
        return kind("/disk", 10, 5, "free up disk space")
    if issubclass(kind, MissingExtraError):
        return kind("postgres", "A PostgreSQL store")
    if issubclass(kind, Interrupted):
        return kind("Interrupted.", at="runs/x", got="a checkpoint", hint="resume", exit_code=143)
    return kind("slug", "something is wrong", at="a place", got="a value", hint="do this")


ERRORS = [build_error(kind) for kind in list_error_types()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_whole_from_a_pickle_and_a_copy(error: TunesmithError) -> None:
    error = error.replace()
    error.add_note("a note")
    for back in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(back) is type(error)
        assert (str(back), repr(back), back.as_dict()) == (str(error), repr(error), error.as_dict())
        assert vars(back) == vars(error)
        assert (back.exit_code, back.args) == (error.exit_code, error.args)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_cannot_be_changed(error: TunesmithError) -> None:
    before = vars(error).copy()
    for name in ("what", "hint", "code", "exit_code", "new"):
        with pytest.raises(AttributeError, match=rf"{type(error).__name__}.{name} cannot be set"):
            setattr(error, name, "x")
    assert vars(error) == before


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_replace_makes_another_error_of_the_same_type(error: TunesmithError) -> None:
    other = error.replace(what="other", hint="try again")
    assert type(other) is type(error) and other is not error
    assert vars(other) == vars(error) | {"what": "other", "hint": "try again"}
    assert other.args == ("other",) and error.args == (error.what,)
    assert other.exit_code == error.exit_code


def test_a_note_on_the_copy_is_not_on_the_original() -> None:
    error = RunError("in-use", "run is in use")
    error.add_note("first")
    other = error.replace(hint="wait")
    other.add_note("second")
    assert (error.__notes__, other.__notes__) == (["first"], ["first", "second"])


def test_an_error_can_be_raised_from_another_and_keeps_its_traceback() -> None:
    with pytest.raises(ProviderError) as caught:
        try:
            raise OSError("cause")
        except OSError as cause:
            raise ProviderError("gone", "no response") from cause
    assert isinstance(caught.value.__cause__, OSError) and caught.value.__traceback__ is not None


def test_a_message_has_a_line_for_each_part() -> None:
    error = RunError("in-use", "run is in use", at="runs/x", got="pid 1", hint="wait")
    assert str(error) == (
        "error[run/in-use]: run is in use\n  at: runs/x\n  got: pid 1\n  hint: wait"
    )
    assert error.summary == "run is in use (pid 1)"
    assert list(error.as_dict()) == ["code", "what", "at", "got", "hint"]


def test_a_part_with_nothing_to_say_is_left_out() -> None:
    error = RunError("missing", "run not found")
    assert (str(error), error.summary) == ("error[run/missing]: run not found", "run not found")


def test_a_value_of_several_lines_stays_aligned_below_its_label() -> None:
    text = format_message("warning", "data/x", "two keys are wrong", got="\na: 1\nb: 2\n")
    assert text == "warning[data/x]: two keys are wrong\n  got:\n    a: 1\n    b: 2"


def test_a_long_value_is_cut_and_says_how_much_is_missing() -> None:
    error = RunError("x", "value is wrong", got="y" * 2345)
    assert str(error).endswith(f"\n  got: {'y' * 2000}... (345 more characters)")
    assert error.as_dict()["got"] == "y" * 2345
    assert truncate_text("abc", 3) == "abc"


def test_the_repr_names_the_parts_and_an_interruption_its_exit_code() -> None:
    error = Interrupted("Interrupted.", hint="tunesmith resume runs/x", exit_code=143)
    assert repr(error) == (
        "Interrupted(code='interrupted/stopped', what='Interrupted.',"
        " hint='tunesmith resume runs/x')"
    )
    assert str(error) == "Interrupted. Next: tunesmith resume runs/x"
    assert (Interrupted.exit_code, pickle.loads(pickle.dumps(error)).exit_code) == (130, 143)
