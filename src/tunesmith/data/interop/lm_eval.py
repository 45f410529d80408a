"""Read samples of the lm-evaluation-harness (`--log_samples`): a line per question and filter.

    {"doc_id": 0, "doc": {...}, "target": "7",
     "arguments": {"gen_args_0": {"arg_0": PROMPT, "arg_1": {...}}},
     "resps": [["... 7"]], "filtered_resps": ["7"], "filter": "strict-match",
     "metrics": ["exact_match"], "exact_match": 1}

`arguments` is a list of lists in older files. The answer is the filtered one, which the harness
scored. Where choices were compared by likelihood there is one argument per choice, (question,
continuation), and the answer is the most likely continuation. Of several filters the first one in
the file is used.
Source: lm_eval/evaluator.py and lm_eval/loggers/evaluation_tracker.py of
EleutherAI/lm-evaluation-harness.
"""

import json
from pathlib import Path
from typing import Any

from tunesmith.data.interop.imported_content import (
    ImportedAnswers,
    ImportedTask,
    NonTextContent,
    UnsupportedFeatures,
    build_example,
    drop_repeated,
    parse_messages,
    parse_number,
    parse_references,
)
from tunesmith.data.read.jsonl_file import read_jsonl
from tunesmith.data.read.row_errors import RowError
from tunesmith.records import Example

METRIC_NAMES = ("exact_match", "acc", "acc_norm", "f1", "bleu", "em")


def is_lm_eval(row: dict[str, Any]) -> bool:
    """Whether this looks like a line of such a file."""
    return "doc" in row and "target" in row and ("filtered_resps" in row or "resps" in row)


def read_lm_eval(path: Path) -> ImportedAnswers:
    """The answers in a samples file; the contender is the name of its folder, as no line has it."""
    unread, first_filter = UnsupportedFeatures(), None
    examples: list[Example] = []
    answers: dict[str, str | None] = {}
    scores: dict[str, dict[str, float]] = {}
    for row in read_jsonl(path):
        if isinstance(row, RowError):
            unread.add(f"a line that cannot be read: {row.got}", f"line {row.line}")
            continue
        first_filter = first_filter or row.values.get("filter")
        if row.values.get("filter") != first_filter:
            unread.add(
                f"the filter {row.values.get('filter')!r}, in addition to {first_filter!r}",
                f"line {row.line}",
            )
            continue
        try:
            example, answer = _read_row(row.line, row.values)
        except NonTextContent as error:
            unread.add(str(error), f"line {row.line}")
            continue
        examples.append(example)
        answers.setdefault(example.id, answer)
        scores.setdefault(example.id, _read_scores(row.values))
    kept = drop_repeated(examples, unread)
    # GSM8K marks the result of its targets with ####, which identifies the scorer.
    is_number = bool(kept) and all("####" in example.answer for example in kept)
    task = ImportedTask(
        "lm-eval",
        path.stem.removeprefix("samples_"),
        kept,
        "number" if is_number else "auto",
        (
            "The targets end in #### and a number."
            if is_number
            else "The file names metrics, not how they are computed."
        ),
        unread.format_sentences(),
    )
    names = {name for found in scores.values() for name in found}
    theirs = next((name for name in METRIC_NAMES if name in names), "") if is_number else ""
    return ImportedAnswers(
        task, path.parent.name or "lm-eval", answers, scores, matching_score=theirs
    )


def _read_row(line: int, row: dict[str, Any]) -> tuple[Example, str]:
    arguments = _list_arguments(row.get("arguments"))
    answers = row.get("filtered_resps", row.get("resps"))
    if not arguments or not isinstance(answers, list) or not answers:
        raise NonTextContent("a sample without arguments or answers")
    if len(arguments) > 1:
        return _read_choice(line, row, arguments, answers)
    targets = parse_references(row["target"])
    answer = answers[0]
    # Filters nest the answer in one or more lists, one per repetition.
    while isinstance(answer, list) and answer:
        answer = answer[0]
    if targets is None or not isinstance(answer, str):
        raise NonTextContent("a sample that is scored by the likelihood of one text")
    if len(targets) > 1:
        raise NonTextContent("a sample with several targets")
    return build_example(line, _read_prompt(arguments[0][0]), targets[0]), answer


def _read_choice(
    line: int, row: dict[str, Any], arguments: list[list[Any]], answers: list[Any]
) -> tuple[Example, str]:
    choices = [
        parse_references(argument[1]) if len(argument) > 1 else None for argument in arguments
    ]
    # Each entry is [log-likelihood, whether it is the greedy continuation].
    likelihoods = [
        _to_number(answer[0] if isinstance(answer, list) and answer else answer)
        for answer in answers
    ]
    known = [choice[0].strip() for choice in choices if choice]
    values = [value for value in likelihoods if value is not None]
    target = _to_number(row["target"])
    if not len(known) == len(values) == len(arguments) or any(
        a[0] != arguments[0][0] for a in arguments
    ):
        raise NonTextContent("a sample with several answers that are not choices")
    if target is None or not 0 <= target < len(known) or target != int(target):
        raise NonTextContent("a choice whose target is not the number of a choice")
    return (
        build_example(line, _read_prompt(arguments[0][0]), known[int(target)]),
        known[values.index(max(values))],
    )


def _list_arguments(value: Any) -> list[list[Any]]:
    """[prompt, further arguments ...] of every request of a sample, from either format."""
    if isinstance(value, dict):
        value = [list(each.values()) for each in value.values() if isinstance(each, dict)]
    return (
        [each for each in value if isinstance(each, list) and each]
        if isinstance(value, list)
        else []
    )


def _read_prompt(value: Any) -> Any:
    """The prompt's messages; for chat models they are logged as JSON in a list of one text."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        value = value[0]
    if isinstance(value, str) and value.startswith("[{"):
        try:
            return parse_messages(json.loads(value))
        except (ValueError, RecursionError):
            return parse_messages(value)
    return parse_messages(value)


def _to_number(value: Any) -> float | None:
    try:
        return parse_number(float(value) if isinstance(value, str) else value)
    except ValueError:
        return None


def _read_scores(row: dict[str, Any]) -> dict[str, float]:
    names = row["metrics"] if isinstance(row.get("metrics"), list) else METRIC_NAMES
    found = {str(name): row.get(str(name)) for name in names}
    return {
        name: number for name, value in found.items() if (number := parse_number(value)) is not None
    }
