"""How places in files are named."""

from tunesmith.evaluation.task_building import build_test_examples, rebuild_example
from tunesmith.records import Example, Message, Origin, Place, name_places

A, B = Origin("a.jsonl"), Origin("b.parquet", "rows")


def test_places_of_one_file_are_named_together_and_others_with_their_file() -> None:
    places: list[Place] = [(A, 3), (A, 9), (B, 4), (B, 5), (A, 11)]
    assert name_places(places, 4) == "a.jsonl lines 3, 9; b.parquet rows 4, 5 (1 more)"
    assert name_places(places[:1]) == "a.jsonl line 3"


def test_without_a_file_the_lines_alone_are_named() -> None:
    assert name_places([(None, 3), (None, 9)]) == "lines 3, 9"


def test_a_stored_test_example_keeps_its_place() -> None:
    example = Example(7, (Message("user", "q"), Message("assistant", "a")), origin=A)
    (stored,) = build_test_examples([example])
    assert rebuild_example(stored).named_place == "a.jsonl line 7"
    assert rebuild_example(stored).id == example.id
