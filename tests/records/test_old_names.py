"""Names of stored fields that earlier versions used."""

import importlib
from pathlib import Path

import pytest

import tunesmith
from tunesmith.records import Answer, InferenceConfig, Quantity, Record, compute_fingerprint
from tunesmith.records.old_names import RENAMED_FIELDS, RENAMED_VALUES


def list_records() -> dict[str, type[Record]]:
    source = Path(tunesmith.__file__).parent
    for path in source.rglob("*.py"):
        if "(Record):" in path.read_text(encoding="utf-8"):
            name = path.relative_to(source).with_suffix("").as_posix().replace("/", ".")
            importlib.import_module(f"tunesmith.{name}")
    found: dict[str, type[Record]] = {}
    waiting = [Record]
    while waiting:
        kind = waiting.pop()
        found[kind.__name__] = kind
        waiting += kind.__subclasses__()
    return found


def test_every_row_names_a_record_and_a_field_that_it_has_and_none_that_it_still_has() -> None:
    records = list_records()
    for name, fields in RENAMED_FIELDS.items():
        today = records[name].model_fields.keys()
        assert set(fields.values()) <= today, name
        assert today.isdisjoint(fields.keys()), name
        assert len(set(fields.values())) == len(fields), name
    for name, values in RENAMED_VALUES.items():
        assert values.keys() <= records[name].model_fields.keys(), name


OLD_ANSWER = {
    "example": "a",
    "text": "b",
    "scores": {},
    "tokens_in": 1,
    "tokens_out": 2,
    "seconds": 0.5,
    "finished": False,
    "unscored": "no judge",
}


def test_an_answer_of_an_earlier_version_is_read_and_written_with_todays_names() -> None:
    answer = Answer.model_validate(OLD_ANSWER)
    assert (answer.is_complete, answer.scoring_error) == (False, "no judge")
    assert "finished" not in answer.model_dump()
    assert Answer.parse(answer.model_dump_json().encode(), "here") == answer


def test_both_names_of_one_field_are_refused() -> None:
    with pytest.raises(ValueError, match="finished"):
        Answer.model_validate({**OLD_ANSWER, "is_complete": True})


def test_a_fingerprint_is_that_of_the_first_names_and_values() -> None:
    quantity = Quantity(value=0.5, low=0.4, high=0.6, n=10, n_failed=2)
    first = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10, "failed": 2}
    assert quantity.fingerprint == compute_fingerprint(first)
    config = InferenceConfig(contender="rag", kind="rag", search="hybrid", max_new_tokens=8)
    first = config.model_dump(mode="json")
    first |= {"search": "both", "form": first.pop("output_constraint")}
    first["most_tokens"] = first.pop("max_prompt_tokens")
    assert config.fingerprint == compute_fingerprint(first)
    assert InferenceConfig.model_validate(first) == config
