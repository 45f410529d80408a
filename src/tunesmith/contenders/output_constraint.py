"""The output constraint inferred from the train answers: a label set, a JSON schema, or none.

A constraint is a promise about answers not yet seen, so it is inferred generously: it admits every
train answer it was inferred from, and excludes only what the train answers contradict
(`schema_inference.py`).
"""

from collections.abc import Sequence

from tunesmith.contenders.schema_inference import MAX_DEPTH, MAX_SCHEMA_BYTES, infer_schema
from tunesmith.data.final_answer import extract_final_answer, has_reasoning, is_blank
from tunesmith.data.label_detection import find_labels
from tunesmith.data.read.jsonl_file import parse_json
from tunesmith.data.read.row_errors import InvalidRow
from tunesmith.data.tool_call_format import has_calls
from tunesmith.errors import DataError
from tunesmith.records import OutputConstraint, dump_canonical_json

MAX_OUTLIER_FRACTION = 0.01
"""Fraction of answers that need not be a JSON object or list; the JSON scorer has the same one."""


def infer_output_constraint(answers: Sequence[str]) -> tuple[OutputConstraint | None, str]:
    """(constraint or None, the reason as a sentence with numbers). None if no constraint admits all
    train answers. Labels are ordered by frequency, the most common first.

    Errors: `DataError` if there are no answers.
    """
    if not answers:
        raise DataError(
            "no-answers",
            "cannot infer an output format without answers",
            hint="add training examples with an answer",
        )
    if any(map(has_calls, answers)):
        return None, "Train answers call tools: they are left free."
    # Parse each distinct answer once: labels repeat thousands of times.
    value_of = {answer: _parse_value(answer) for answer in set(answers)}
    values = [value for answer in answers if isinstance(value := value_of[answer], dict | list)]
    if len(answers) - len(values) <= MAX_OUTLIER_FRACTION * len(answers):
        return _infer_json_constraint(values, len(answers))
    n, labels = len(answers), find_labels(answers)
    if labels is None or any(is_blank(extract_final_answer(answer)) for answer in value_of):
        return (
            None,
            (
                f"The {n:,} training answers are neither a small label set nor all JSON: no "
                "constraint."
            ),
        )
    # A constraint starts with the first token of the answer and would cut off the reasoning.
    if any(map(has_reasoning, answers)):
        return (
            None,
            f"The {n:,} training answers contain reasoning before the final answer: no constraint.",
        )
    if len(labels.labels) == 1:
        return None, f"The {n:,} training answers are all the same: no constraint."
    return (
        OutputConstraint(labels=labels.labels),
        f"The {n:,} training answers are {len(labels.labels):,} labels.",
    )


def _infer_json_constraint(values: Sequence[object], n: int) -> tuple[OutputConstraint | None, str]:
    strays = n - len(values)
    counted = (
        f"All {n:,} training answers are JSON"
        if not strays
        else f"{len(values):,} of {n:,} training answers are JSON"
    )
    schema = infer_schema(values)
    if schema is None:
        return None, f"{counted}, nested deeper than {MAX_DEPTH} levels: no constraint."
    size = len(dump_canonical_json(schema))
    if size > MAX_SCHEMA_BYTES:
        return (
            None,
            f"{counted}, too diverse for a schema ({size:,} characters): no constraint.",
        )
    return OutputConstraint(json_schema=schema), f"{counted} with a common schema."


def _parse_value(answer: str) -> object:
    """The value of strict JSON; None for anything else (which includes `null`)."""
    try:
        return parse_json(answer.encode("utf-8", "surrogatepass"))
    except InvalidRow:
        return None
