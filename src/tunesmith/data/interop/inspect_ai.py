"""Read logs of inspect_ai: `.json` (one object) or `.eval` (a zip with one JSON file per sample).

    header.json, or _journal/start.json while it runs
        {"eval": {"task": ..., "model": ...}, "status": ...}
    samples/ID_epoch_N.json
        {"id", "epoch", "input", "target", "choices", "messages", "output", "scores", "error"}

The prompt is what the model received: the messages before its last answer, else `input`. Long texts
are stored once under `attachments` and are restored. Of several epochs the first is used. Scores: C
is 1, P one half, I and N are 0.

The scorers of the log and their options (`match(numeric=True)`) are in the header under
`eval.scorers`, in older logs under `results.scores`; ours is chosen to do the same (`_map_scorer`).
Scores of ours that still differ from the log's are counted and reported
(`contenders/external_answers.py`).
Source: src/inspect_ai/log/_log.py and log/_recorders/eval.py of UKGovernmentBEIS/inspect_ai.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith.atomic_io import read_regular_file
from tunesmith.data.interop.imported_content import (
    ImportedAnswers,
    ImportedTask,
    NonTextContent,
    UnsupportedFeatures,
    as_list,
    as_mapping,
    build_example,
    drop_repeated,
    parse_messages,
    parse_number,
    parse_references,
    parse_text,
)
from tunesmith.data.interop.zip_json import JsonArchive
from tunesmith.data.read.json_file import MAX_JSON_BYTES
from tunesmith.data.read.jsonl_file import parse_json
from tunesmith.data.read.row_errors import InvalidRow
from tunesmith.errors import DataError
from tunesmith.records import Example, Message

GRADE_SCORES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_ANSWER_PATTERNS = {
    "letter": r"(?is)ANSWER\s*:\s*([A-Za-z])(?:[^\w]|\n|$)(?!.*ANSWER\s*:)",
    "word": r"(?is)ANSWER\s*:\s*(\S+?)(?=[.,;:!?]?\s*(?:\n|$))(?!.*ANSWER\s*:)",
    "line": r"(?i)ANSWER\s*:\s*([^\n]+)\s*\Z",
}
"""The patterns of inspect_ai's `answer` scorer (_util/pattern.py)."""
_FLAGS = re.compile(r"\(\?([ims]+)\)")
SUPPORTED_OPTIONS = {
    "match": {"location", "ignore_case", "numeric"},
    "includes": {"ignore_case"},
    "answer": {"pattern"},
    "pattern": {"pattern", "ignore_case", "match_all"},
}
"""Options of inspect_ai's scorers that ours support, by scorer."""

Samples = Iterator[tuple[str, dict[str, Any]]]


def is_inspect_log(value: Any) -> bool:
    """Whether this JSON value is the header of such a log."""
    return (
        isinstance(value, dict) and isinstance(value.get("eval"), dict) and "model" in value["eval"]
    )


def read_inspect_log(path: Path) -> ImportedAnswers:
    """The answers and scores in a log. Errors: `DataError`."""
    unread = UnsupportedFeatures()
    if path.suffix == ".eval":
        with JsonArchive(path) as archive:
            return _build_answers(
                path, _read_header(path, archive), _iterate_archive_samples(archive, unread), unread
            )
    value = _read_json_log(path)
    samples = as_list(value.get("samples"))
    named = (
        (f"sample {number}", sample)
        for number, sample in enumerate(samples, 1)
        if isinstance(sample, dict)
    )
    return _build_answers(path, value, named, unread)


def _read_json_log(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_JSON_BYTES:
        raise _build_log_error(
            path, f"over {MAX_JSON_BYTES // 2**20} MiB", "inspect log convert --to eval"
        )
    try:
        value = parse_json(read_regular_file(path))
    except InvalidRow as bad:
        raise _build_log_error(path, bad.got, "create the log again") from None
    if not is_inspect_log(value):
        raise _build_log_error(path, "no eval with a model", "pass a log written by inspect_ai")
    return dict(value)


def _read_header(path: Path, archive: JsonArchive) -> dict[str, Any]:
    # start.json is the header of a run that is not finished.
    for name in ("header.json", "_journal/start.json", "start.json"):
        if name in archive:
            try:
                head = archive.read(name)
            except InvalidRow as bad:
                raise _build_log_error(path, f"{name}: {bad.got}", "create the log again") from None
            if is_inspect_log(head):
                return dict(head)
    raise _build_log_error(path, "no header.json with an eval", "pass a log written by inspect_ai")


def _iterate_archive_samples(archive: JsonArchive, unread: UnsupportedFeatures) -> Samples:
    for name in sorted(archive.names):
        if name.startswith("samples/"):
            try:
                sample = archive.read(name)
            except InvalidRow as bad:
                unread.add(f"a sample that cannot be read: {bad.got}", name)
                continue
            if isinstance(sample, dict):
                yield name, sample
            else:
                unread.add("a sample that is not an object", name)


def _build_answers(
    path: Path, head: dict[str, Any], samples: Samples, unread: UnsupportedFeatures
) -> ImportedAnswers:
    if head.get("status") not in (None, "success"):
        unread.add(f"the log's status is {head['status']!r}, so samples may be missing")
    examples: list[Example] = []
    answers: dict[str, str | None] = {}
    scores: dict[str, dict[str, float]] = {}
    errors: dict[str, str] = {}
    names: set[str] = set()
    read = []
    for number, (place, sample) in enumerate(samples, 1):
        if sample.get("epoch", 1) != 1:
            unread.add("only the first epoch is used", place)
            continue
        names.update(as_mapping(sample.get("scores")))
        try:
            read.append((number, place, sample, *_read_sample(sample)))
        except NonTextContent as error:
            unread.add(str(error), place)
    # The scorer decides the form of the references, so all samples are read first.
    judged = _choose_scorer(head, names, unread)
    for number, place, sample, prompt, targets, answer in read:
        example = build_example(
            number, prompt, _build_reference(targets, judged.own_scorer, place, unread)
        )
        examples.append(example)
        if example.id not in answers:
            answers[example.id] = answer
            scores[example.id] = _read_scores(sample, place, unread)
            if answer is None:
                errors[example.id] = str(
                    as_mapping(sample.get("error")).get("message", "no answer")
                )
    of = head["eval"]
    kept = drop_repeated(examples, unread)
    task = ImportedTask(
        "inspect_ai",
        str(of.get("task", path.stem)),
        kept,
        judged.own_scorer,
        judged.reason,
        unread.format_sentences(),
    )
    return ImportedAnswers(task, str(of["model"]), answers, scores, errors, judged.log_scorer)


def _read_sample(sample: dict[str, Any]) -> tuple[tuple[Message, ...], list[str], str | None]:
    """(prompt, targets, answer or None) of a sample, with its attachments restored."""
    attachments = as_mapping(sample.get("attachments"))
    messages = _restore_attachments(as_list(sample.get("messages")), attachments)
    answered = [
        i
        for i, message in enumerate(messages)
        if isinstance(message, dict) and message.get("role") == "assistant"
    ]
    asked = (
        messages[: answered[-1]]
        if answered and answered[-1]
        else _restore_attachments(sample.get("input"), attachments)
    )
    targets = parse_references(_restore_attachments(sample.get("target"), attachments))
    if targets is None:
        raise NonTextContent("a sample without a target")
    if any(isinstance(m, dict) and m.get("role") == "tool" for m in messages):
        raise NonTextContent("a sample whose model used tools")
    output = as_mapping(_restore_attachments(sample.get("output"), attachments))
    choices = [as_mapping(choice).get("message") for choice in as_list(output.get("choices"))]
    answer = (
        parse_text(choices[0].get("content")) if choices and isinstance(choices[0], dict) else None
    )
    return parse_messages(asked), targets, None if sample.get("error") else answer


def _restore_attachments(value: Any, attachments: dict[str, Any]) -> Any:
    if isinstance(value, str) and value.startswith("attachment://"):
        return attachments.get(value.removeprefix("attachment://"), value)
    if isinstance(value, list):
        return [_restore_attachments(each, attachments) for each in value]
    return (
        {key: _restore_attachments(each, attachments) for key, each in value.items()}
        if isinstance(value, dict)
        else value
    )


class _ScorerChoice(NamedTuple):
    """Our scorer, the reason, and the log's scorer that it reproduces ("" if there is none)."""

    own_scorer: str
    reason: str
    log_scorer: str = ""


def _choose_scorer(
    head: dict[str, Any], names: set[str], unread: UnsupportedFeatures
) -> _ScorerChoice:
    """The first of the log's scorers that we support; all others are listed as unsupported."""
    told = _read_options(head)
    judged: list[_ScorerChoice] = []
    for name in sorted(names):
        ours = _map_scorer(name, told.get(name), unread)
        if ours is None:
            unread.add(f"the scorer {name}: its stored scores are used, not recomputed")
        else:
            options = ", ".join(f"{key}={value!r}" for key, value in (told.get(name) or {}).items())
            judged.append(_ScorerChoice(ours, f"The log was scored by {name}({options}).", name))
    for other in judged[1:]:
        unread.add(
            f"the scorer {other.log_scorer}, in addition to {judged[0].log_scorer}: its "
            "stored scores are used"
        )
    return (
        judged[0]
        if judged
        else _ScorerChoice("auto", "No scorer of the log has an equivalent in tunesmith.")
    )


def _read_options(head: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The options of each scorer, by its name."""
    listed = [
        (one, "options")
        for one in map(as_mapping, as_list(as_mapping(head.get("eval")).get("scorers")))
    ]
    listed += [
        (one, "params")
        for one in map(as_mapping, as_list(as_mapping(head.get("results")).get("scores")))
    ]
    found: dict[str, dict[str, Any]] = {}
    # Registered names carry their package (`inspect_ai/match`); eval.scorers comes first and wins.
    for one, key in listed:
        found.setdefault(str(one.get("name")).rpartition("/")[2], as_mapping(one.get(key)))
    return found


def _map_scorer(
    name: str, options: dict[str, Any] | None, unread: UnsupportedFeatures
) -> str | None:
    """Our scorer for one of inspect_ai's with these options; None for graders and custom code."""
    if name in SUPPORTED_OPTIONS and options is None:
        unread.add(f"the log does not record the options of {name}: its defaults are used")
    options = options or {}
    unknown = sorted(map(str, set(options) - SUPPORTED_OPTIONS.get(name, set())))
    if unknown:
        unread.add(f"the scorer {name} has the options {', '.join(unknown)}")
        return None
    case = ["case"] if options.get("ignore_case", True) is False else []
    if name == "match":
        numeric = ["numeric"] if options.get("numeric") is True else []
        place = options.get("location", "end")
        return (
            "match:" + "+".join([place, *numeric, *case])
            if place in ("begin", "end", "any", "exact")
            else None
        )
    if name == "includes":
        return "match:" + "+".join(["any", "punctuation", *case])
    if name in ("pattern", "answer"):
        return _map_pattern(name, options)
    return {"exact": "squad:exact", "f1": "squad", "choice": "label"}.get(name)


def _map_pattern(name: str, options: dict[str, Any]) -> str | None:
    pattern = options.get("pattern")
    if (
        not isinstance(pattern, str)
        or options.get("match_all") is True
        or options.get("ignore_case", True) is False
    ):
        return None
    if name == "answer":
        pattern = _ANSWER_PATTERNS.get(pattern)
    return None if pattern is None else f"regex:{_match_first_only(pattern)}"


def _match_first_only(pattern: str) -> str:
    """A pattern whose only match is the first match of `pattern`, since our scorer uses the last.

    It also turns off `^` at every line, which our scorer turns on.
    """
    # Python accepts global flags only at the very beginning, so they move to the front.
    flags = _FLAGS.match(pattern)
    bare = pattern[flags.end() :] if flags else pattern
    set_flags = "".join(sorted({*(flags[1] if flags else ""), "i"}))
    try:
        has_group = re.compile(pattern).groups > 0
    except (re.error, RecursionError, OverflowError):
        return pattern  # refused with its error where the scorer is created
    return (
        rf"(?{set_flags})\A[\s\S]*?(?-m:{bare})"
        if has_group
        else rf"(?{set_flags})\A[\s\S]*?((?-m:{bare}))"
    )


def _build_reference(
    targets: list[str], scorer: str, place: str, unread: UnsupportedFeatures
) -> str:
    """The single target, or several as a JSON list where the scorer accepts any of them."""
    if scorer.partition(":")[0] in ("match", "squad"):
        # A text that looks like a JSON list is wrapped too, or it would be read as several targets.
        return (
            targets[0]
            if len(targets) == 1 and not targets[0].startswith('["')
            else json.dumps(targets)
        )
    if len(targets) > 1:
        unread.add("only the first of several targets is compared", place)
    return targets[0]


def _read_scores(
    sample: dict[str, Any], place: str, unread: UnsupportedFeatures
) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, score in as_mapping(sample.get("scores")).items():
        value = score.get("value") if isinstance(score, dict) else None
        if isinstance(value, str) and value in GRADE_SCORES:
            found[name] = GRADE_SCORES[value]
        elif (number := parse_number(value)) is not None:
            found[name] = number
        else:
            unread.add(f"a score of {name} that is not a number", place)
    return found


def _build_log_error(path: Path, got: str, hint: str) -> DataError:
    return DataError("bad-log", "cannot read the inspect_ai log", at=str(path), got=got, hint=hint)
