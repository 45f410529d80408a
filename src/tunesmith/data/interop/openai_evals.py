"""Read OpenAI Evals: samples as JSON Lines, and registry YAML that names grader and samples.

    {"input": [{"role": "user", "content": "2 + 2"}], "ideal": "4"}          (or a list of ideals)
    {"item": {"question": "2 + 2", "answer": "4"}}                           (rows of hosted evals)

    my-eval.dev.v0:
      class: evals.elsuite.basic.match:Match
      args: {samples_jsonl: my-eval/samples.jsonl}

The graders: Match, the answer begins with an ideal one; Includes, it contains an ideal one;
FuzzyMatch, one contains the other after normalization; JsonMatch, equal as JSON. A samples file
alone names no grader.
Source: evals/elsuite/basic/ and docs/eval-templates.md of openai/evals.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tunesmith.data.interop.imported_content import (
    ImportedTask,
    NonTextContent,
    UnsupportedFeatures,
    build_example,
    drop_repeated,
    parse_messages,
    parse_references,
)
from tunesmith.data.interop.regex_assertions import match_any, match_beginning
from tunesmith.data.interop.tool_files import find_file_below, read_yaml
from tunesmith.data.read.jsonl_file import read_jsonl
from tunesmith.data.read.row_errors import RowError
from tunesmith.errors import DataError
from tunesmith.records import Example, Message

PROMPT_KEYS = ("input", "messages", "question", "prompt", "query")
ANSWER_KEYS = (
    "ideal",
    "answer",
    "expected",
    "expected_output",
    "reference",
    "correct_label",
    "label",
    "target",
)
SUPPORTED_ARGS = {"samples_jsonl", "ignore_case"}

Sample = tuple[int, tuple[Message, ...], list[str]]


def is_openai_evals(row: dict[str, Any]) -> bool:
    """Whether this looks like a line of such a file."""
    return ("input" in row and "ideal" in row) or (
        set(row) <= {"item", "sample"} and isinstance(row.get("item"), dict)
    )


def is_registry(value: Any) -> bool:
    """Whether this YAML value names an eval class."""
    return isinstance(value, dict) and any(
        isinstance(v, dict) and "class" in v for v in value.values()
    )


def read_samples(path: Path) -> ImportedTask:
    """A samples file alone: the grader is inferred from the form of the ideal answers."""
    unread = UnsupportedFeatures()
    samples = _read_samples(path, unread)
    ideals = [ideal for _, _, ideals in samples for ideal in ideals]
    reason = "The ideal answers are JSON; the file names no grader."
    # Objects and lists only: a plain number is valid JSON too and would be compared as text.
    if ideals and all(_is_json(ideal) for ideal in ideals):
        return _build_task(path.stem, samples, "JsonMatch", False, reason, unread)
    if all(len(each) == 1 for _, _, each in samples):
        examples = [build_example(line, prompt, each[0]) for line, prompt, each in samples]
        reason = "The file names no grader."
        return ImportedTask(
            "openai-evals",
            path.stem,
            drop_repeated(examples, unread),
            "auto",
            reason,
            unread.format_sentences(),
        )
    reason = (
        "The file names no grader; with several ideal answers, an answer that begins "
        "with one of them is correct."
    )
    return _build_task(path.stem, samples, "Match", False, reason, unread)


def read_registry(path: Path) -> ImportedTask:
    """The first eval of a registry file, with the samples file that it names."""
    unread = UnsupportedFeatures()
    evals = [(n, v) for n, v in read_yaml(path).items() if isinstance(v, dict) and "class" in v]
    name, found = evals[0]
    for other, _ in evals[1:]:
        unread.add("only the first eval of the file is read", other)
    args: dict[str, Any] = found["args"] if isinstance(found.get("args"), dict) else {}
    for unused in sorted(set(args) - SUPPORTED_ARGS):
        unread.add("an argument of the grader", unused)
    grader = str(found["class"]).rpartition(":")[2]
    samples = _read_samples(_find_samples_file(path, args.get("samples_jsonl")), unread)
    return _build_task(
        name,
        samples,
        grader,
        args.get("ignore_case") is True,
        f"The eval uses the grader {grader}.",
        unread,
    )


def _find_samples_file(path: Path, samples: Any) -> Path:
    """The samples file, next to the registry file or in the sibling folder `data`, nowhere else."""
    # The layout of the official registry: evals/NAME.yaml next to data/NAME/samples.jsonl.
    for root in (path.parent, path.parent.parent / "data"):
        if (found := find_file_below(root, samples)) is not None:
            return found
    raise DataError(
        "no-samples",
        "samples file of this eval is missing",
        at=str(path),
        got=f"samples_jsonl {samples!r:.200}",
        hint=f"put the file into {path.parent}; or pass the samples file itself",
    )


def _read_samples(path: Path, unread: UnsupportedFeatures) -> list[Sample]:
    samples: list[Sample] = []
    for row in read_jsonl(path):
        if isinstance(row, RowError):
            unread.add(f"a line that cannot be read: {row.got}", f"line {row.line}")
            continue
        # Rows of hosted evals nest the columns under "item", next to a "sample" with the output.
        values = row.values["item"] if isinstance(row.values.get("item"), dict) else row.values
        asked = next((values[name] for name in PROMPT_KEYS if values.get(name)), None)
        ideals = next(
            (
                parse_references(values[name])
                for name in ANSWER_KEYS
                if values.get(name) is not None
            ),
            None,
        )
        try:
            prompt = parse_messages(asked)
        except NonTextContent as error:
            unread.add(str(error), f"line {row.line}")
            continue
        if ideals is None:
            unread.add(
                f"a sample without an ideal answer under any of {', '.join(ANSWER_KEYS)}",
                f"line {row.line}",
            )
            continue
        samples.append((row.line, prompt, ideals))
    return samples


def _build_task(
    name: str,
    samples: Sequence[Sample],
    grader: str,
    ignore_case: bool,
    reason: str,
    unread: UnsupportedFeatures,
) -> ImportedTask:
    """The examples, with answers in the form that the scorer for this grader expects."""
    written: dict[str, tuple[str, Callable[[list[str]], str]]] = {
        "Match": ("regex", match_beginning),
        "Includes": ("regex", lambda ideals: match_any(ideals, ignore_case=ignore_case)),
        "JsonMatch": ("json", lambda ideals: ideals[0]),
        "FuzzyMatch": (
            "match:fuzzy",
            lambda ideals: ideals[0] if len(ideals) == 1 else json.dumps(ideals),
        ),
    }
    if grader not in written:
        unread.add(
            f"the grader {grader}: it calls a model or runs code; choose a scorer or a judge"
        )
    scorer, write = written.get(grader, ("auto", lambda ideals: ideals[0]))
    # These two hold several ideal answers in one reference; the others compare with a single one.
    if scorer not in ("regex", "match:fuzzy"):
        for line, _, ideals in samples:
            if len(ideals) > 1:
                unread.add("only the first of several ideal answers is compared", f"line {line}")
    examples: list[Example] = [
        build_example(line, prompt, write(ideals)) for line, prompt, ideals in samples
    ]
    return ImportedTask(
        "openai-evals",
        name,
        drop_repeated(examples, unread),
        scorer,
        reason,
        unread.format_sentences(),
    )


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), (dict, list))
    except (ValueError, RecursionError):
        return False
