"""Prepared data is kept and recalled; whatever it follows from makes another key; damage is
noticed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith.data import cache
from tunesmith.data.cache import check_with_cache, prepare_with_cache
from tunesmith.data.check import check_examples
from tunesmith.data.prepare import prepare_split
from tunesmith.data.read import read_dataset
from tunesmith.failpoints import flip_bit
from tunesmith.records import CheckReport, DataRecipe, Example, Message, PreparedSplit, TokenArrays
from tunesmith.testing.fake_tokenizer import FakeTokenizer

EXAMPLES = [
    Example(
        n,
        (
            Message("user", f"What is {n} + {n}?"),
            Message("assistant", str(2 * n), weight=0.5 if n % 2 else None),
        ),
    )
    for n in range(1, 9)
]
GIVEN: dict[str, Any] = {
    "name": "train",
    "examples": EXAMPLES,
    "tokenizer": FakeTokenizer(),
    "max_tokens": 500,
    "train_on_prompts": False,
    "method": "sft",
}


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A home of its own, a cache for the smallest data, and a count of what was really prepared."""
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "MIN_EXAMPLES", 2)
    done: list[int] = []

    def counted(
        name: str, examples: list[Example], *rest: Any
    ) -> tuple[PreparedSplit, TokenArrays]:
        done.append(len(examples))
        return prepare_split(name, examples, *rest)

    monkeypatch.setattr(cache, "prepare_split", counted)
    return done


def files(home: Path) -> list[Path]:
    return sorted((home / "prepared").glob("*"))


def test_what_is_recalled_is_what_was_prepared(tmp_path: Path, work: list[int]) -> None:
    first, second = prepare_with_cache(**GIVEN), prepare_with_cache(**GIVEN)
    assert work == [8] and len(files(tmp_path)) == 1
    assert first[0] == second[0]
    for name in ("tokens_N", "weights_N", "starts_S1"):
        ours, theirs = getattr(first[1], name), getattr(second[1], name)
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)


def test_preferences_and_ratings_come_back_whole(work: list[int]) -> None:
    rated = [
        Example(n, (Message("user", f"Q{n}"), Message("assistant", "yes")), is_desirable=n % 2 == 0)
        for n in range(6)
    ]
    given = GIVEN | {"examples": rated, "method": "kto"}
    (_, first), (_, second) = prepare_with_cache(**given), prepare_with_cache(**given)
    assert work == [6]
    assert np.array_equal(first.columns_E["is_desirable"], second.columns_E["is_desirable"])
    pairs = [
        Example(
            n,
            (Message("user", f"Q{n}"), Message("assistant", "a")),
            rejected=(Message("assistant", "b"),),
        )
        for n in range(6)
    ]
    given = GIVEN | {"examples": pairs, "method": "dpo"}
    assert [prepare_with_cache(**given)[1].sequences_per_example for _ in range(2)] == [2, 2]


@pytest.mark.parametrize(
    "other",
    [
        {"examples": EXAMPLES[::-1]},
        {"examples": EXAMPLES[:-1]},
        {"examples": [example.with_system("Add.") for example in EXAMPLES]},
        {"tokenizer": FakeTokenizer(template_sha256="ab" * 32)},
        {"tokenizer": FakeTokenizer(tokenizer_sha256="ab" * 32)},
        {"max_tokens": 501},
        {"train_on_prompts": True},
        {"name": "validation"},
    ],
)
def test_something_else_is_prepared_anew(work: list[int], other: dict[str, Any]) -> None:
    prepare_with_cache(**GIVEN)
    prepare_with_cache(**(GIVEN | other))
    assert len(work) == 2


def test_the_order_of_a_file_s_lines_does_not_matter_only_that_of_the_examples(
    work: list[int],
) -> None:
    prepare_with_cache(**GIVEN)
    moved = [Example(example.line + 100, example.messages) for example in EXAMPLES]
    prepare_with_cache(**(GIVEN | {"examples": moved}))
    assert work == [8]


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6, 0.95])
def test_a_flipped_bit_is_noticed(tmp_path: Path, work: list[int], share: float) -> None:
    first = prepare_with_cache(**GIVEN)
    (path,) = files(tmp_path)
    flip_bit(path, int(path.stat().st_size * share))
    second = prepare_with_cache(**GIVEN)
    assert np.array_equal(first[1].tokens_N, second[1].tokens_N)
    assert np.array_equal(first[1].weights_N, second[1].weights_N) and first[0] == second[0]


def test_half_a_file_is_prepared_again(tmp_path: Path, work: list[int]) -> None:
    prepare_with_cache(**GIVEN)
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    prepare_with_cache(**GIVEN)
    assert work == [8, 8]


def test_only_the_newest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_FILES", 2)
    for limit in range(500, 505):
        prepare_with_cache(**(GIVEN | {"max_tokens": limit}))
    assert len(files(tmp_path)) == 2


def test_no_room_for_the_cache_is_no_reason_to_stop(tmp_path: Path, work: list[int]) -> None:
    (tmp_path / "prepared").write_text("a file where the folder should be")
    assert prepare_with_cache(**GIVEN)[0].examples == 8


def test_little_data_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MIN_EXAMPLES", 9)
    prepare_with_cache(**GIVEN)
    assert files(tmp_path) == []


# --- reports
# --------------------------------------------------------------------------------------------------


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many examples were really checked, check by check."""
    done: list[int] = []

    def counted(loaded: Any, *rest: Any) -> CheckReport:
        done.append(len(loaded.examples))
        return check_examples(loaded, *rest)

    monkeypatch.setattr(cache, "check_examples", counted)
    return done


def report_of(path: Path, max_tokens: int = 500, **data: Any) -> CheckReport:
    recipe = DataRecipe(path=str(path), **data)
    return check_with_cache(
        read_dataset(path), None, FakeTokenizer(), max_tokens, "a model", recipe
    )


def write_rows(path: Path, rows: int) -> Path:
    path.write_text(
        "".join(f'{{"prompt": "What is {n % 5}?", "completion": "{n}"}}\n' for n in range(rows))
    )
    return path


def test_a_report_is_recalled_whole(tmp_path: Path, checked: list[int]) -> None:
    path = write_rows(tmp_path / "rows.jsonl", 8)
    first, second = report_of(path), report_of(path)
    assert checked == [8] and first == second and first.problems


def test_whatever_a_report_follows_from_makes_another(tmp_path: Path, checked: list[int]) -> None:
    path = write_rows(tmp_path / "rows.jsonl", 8)
    report_of(path)
    report_of(path, max_tokens=400)
    report_of(path, system_prompt="Answer.")
    write_rows(path, 9)
    assert report_of(path).dataset.examples == 9
    assert checked == [8, 8, 8, 9]


@pytest.mark.parametrize("at", [3, 70, 300])
def test_a_damaged_report_is_made_again(tmp_path: Path, checked: list[int], at: int) -> None:
    path = write_rows(tmp_path / "rows.jsonl", 8)
    first = report_of(path)
    (kept,) = files(tmp_path)
    flip_bit(kept, at)
    assert report_of(path) == first and checked == [8, 8]
    assert report_of(path) == first and checked == [8, 8], "and kept again"


def test_the_order_of_arguments_is_no_content_but_is_prepared_as_it_stands(work: list[int]) -> None:
    def with_arguments(arguments: dict[str, int]) -> list[Example]:
        call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
        answer = Message("assistant", "", tool_calls=(call,))
        return [Example(n, (Message("user", f"Q{n}"), answer)) for n in range(6)]

    one, other = with_arguments({"a": 1, "b": 2}), with_arguments({"b": 2, "a": 1})
    assert [example.id for example in one] == [example.id for example in other]
    _, first = prepare_with_cache(**GIVEN | {"examples": one})
    _, second = prepare_with_cache(**GIVEN | {"examples": other})
    assert work == [6, 6]
    assert first.tokens_N.tolist() != second.tokens_N.tolist()
