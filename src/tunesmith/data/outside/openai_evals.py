"""OpenAI Evals: samples as JSON Lines, and the registry's YAML that names the grader and the samples.

    {"input": [{"role": "user", "content": "2 + 2"}], "ideal": "4"}          (ideal may be a list: any of them)
    {"item": {"question": "2 + 2", "answer": "4"}}                           (rows of the hosted evals)

    my-eval.dev.v0:
      class: evals.elsuite.basic.match:Match
      args: {samples_jsonl: my-eval/samples.jsonl}

The graders: Match, the answer begins with an ideal one; Includes, an ideal one stands in the answer; FuzzyMatch, either
stands in the other once both are normalised; JsonMatch, equal as JSON. A file of samples alone names no grader.
Source: evals/elsuite/basic/ and docs/eval-templates.md of openai/evals.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tunesmith.data.outside.below import file_below
from tunesmith.data.outside.patterns import begins_with, one_of
from tunesmith.data.outside.task import (
    NotText,
    OutsideTask,
    Unread,
    example_of,
    messages_of,
    only_first,
    texts_of,
)
from tunesmith.data.outside.yaml_text import read_yaml
from tunesmith.data.read.faults import Fault
from tunesmith.data.read.jsonl import read_jsonl
from tunesmith.errors import DataError
from tunesmith.records import Example, Message

ASKED = ("input", "messages", "question", "prompt", "query")
IDEAL = ("ideal", "answer", "expected", "expected_output", "reference", "correct_label", "label", "target")
USED_ARGS = {"samples_jsonl", "ignore_case"}

Sample = tuple[int, tuple[Message, ...], list[str]]


def is_openai_evals(row: dict[str, Any]) -> bool:
    """Whether this looks like a line of such a file."""
    return ("input" in row and "ideal" in row) or (set(row) <= {"item", "sample"} and isinstance(row.get("item"), dict))


def is_registry(value: Any) -> bool:
    """Whether this YAML names an eval class."""
    return isinstance(value, dict) and any(isinstance(v, dict) and "class" in v for v in value.values())


def read_samples(path: Path) -> OutsideTask:
    """The samples alone: the grader is supposed from the ideal answers."""
    unread = Unread()
    samples = _samples(path, unread)
    ideals = [ideal for _, _, ideals in samples for ideal in ideals]
    reason = "The ideal answers are JSON; the file names no grader."
    if ideals and all(_is_json(ideal) for ideal in ideals):
        return _task(path.stem, samples, "JsonMatch", False, reason, unread)
    if all(len(each) == 1 for _, _, each in samples):
        examples = [example_of(line, prompt, each[0]) for line, prompt, each in samples]
        reason = "The file names no grader."
        return OutsideTask("openai-evals", path.stem, only_first(examples, unread), "auto", reason, unread.sentences())
    reason = "The file names no grader; with several ideal answers an answer that begins with one of them is right."
    return _task(path.stem, samples, "Match", False, reason, unread)


def read_registry(path: Path) -> OutsideTask:
    """The first eval of a registry file that has samples beside it."""
    unread = Unread()
    evals = [(n, v) for n, v in read_yaml(path).items() if isinstance(v, dict) and "class" in v]
    name, found = evals[0]
    for other, _ in evals[1:]:
        unread.add("only the first eval of the file is read", other)
    args: dict[str, Any] = found["args"] if isinstance(found.get("args"), dict) else {}
    for unused in sorted(set(args) - USED_ARGS):
        unread.add("an argument of the grader", unused)
    grader = str(found["class"]).rpartition(":")[2]
    samples = _samples(_beside(path, args.get("samples_jsonl")), unread)
    return _task(name, samples, grader, args.get("ignore_case") is True, f"The eval names the grader {grader}.", unread)


def _beside(path: Path, samples: Any) -> Path:
    """The samples' file: beside the registry file or in the `data` folder beside its folder, nowhere else."""
    for root in (path.parent, path.parent.parent / "data"):
        if (found := file_below(root, samples)) is not None:
            return found
    raise DataError(
        "no-samples", "The samples of this eval are not there.", where=str(path),
        found=f"samples_jsonl {samples!r:.200}",
        do=f"put the file into {path.parent}, or give the samples file itself",
    )  # fmt: skip


def _samples(path: Path, unread: Unread) -> list[Sample]:
    samples: list[Sample] = []
    for row in read_jsonl(path):
        if isinstance(row, Fault):
            unread.add(f"a line that cannot be read: {row.found}", f"line {row.line}")
            continue
        values = row.values["item"] if isinstance(row.values.get("item"), dict) else row.values
        asked = next((values[name] for name in ASKED if values.get(name)), None)
        ideals = next((texts_of(values[name]) for name in IDEAL if values.get(name) is not None), None)
        try:
            prompt = messages_of(asked)
        except NotText as error:
            unread.add(str(error), f"line {row.line}")
            continue
        if ideals is None:
            unread.add(f"a sample without an ideal answer under any of {', '.join(IDEAL)}", f"line {row.line}")
            continue
        samples.append((row.line, prompt, ideals))
    return samples


def _task(
    name: str, samples: Sequence[Sample], grader: str, ignore_case: bool, reason: str, unread: Unread
) -> OutsideTask:
    """The examples with answers in the form that the scorer of this grader compares with."""
    written: dict[str, tuple[str, Callable[[list[str]], str]]] = {
        "Match": ("regex", begins_with),
        "Includes": ("regex", lambda ideals: one_of(ideals, ignore_case=ignore_case)),
        "JsonMatch": ("json", lambda ideals: ideals[0]),
        "FuzzyMatch": ("match:fuzzy", lambda ideals: ideals[0] if len(ideals) == 1 else json.dumps(ideals)),
    }
    if grader not in written:
        unread.add(f"the grader {grader}: it asks a model or runs code; name a scorer or a judge")
    scorer, write = written.get(grader, ("auto", lambda ideals: ideals[0]))
    if scorer not in ("regex", "match:fuzzy"):
        for line, _, ideals in samples:
            if len(ideals) > 1:
                unread.add("only the first of several ideal answers is compared with", f"line {line}")
    examples: list[Example] = [example_of(line, prompt, write(ideals)) for line, prompt, ideals in samples]
    return OutsideTask("openai-evals", name, only_first(examples, unread), scorer, reason, unread.sentences())


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), (dict, list))
    except (ValueError, RecursionError):
        return False
