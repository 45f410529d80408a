"""Logs of inspect_ai, as `.json` (one object) or `.eval` (a zip archive with one JSON file a sample).

    header.json, or _journal/start.json while it runs     {"eval": {"task": ..., "model": ...}, "status": ...}
    samples/ID_epoch_N.json     {"id", "epoch", "input", "target", "choices", "messages", "output", "scores", "error"}

The prompt is what the model was sent: the messages before its last answer, else `input`. Long texts stand once under
`attachments` and are put back. Of several epochs the first is taken. Scores: C is 1, P one half, I and N are 0. The
scorer `match` looks at the end of the answer unless it was told otherwise, which the log does not say.
Source: src/inspect_ai/log/_log.py and log/_recorders/eval.py of UKGovernmentBEIS/inspect_ai.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith.data.outside.archive import JsonArchive
from tunesmith.data.outside.patterns import one_of
from tunesmith.data.outside.task import (
    NotText,
    OutsideAnswers,
    OutsideTask,
    Unread,
    example_of,
    list_of,
    mapping_of,
    messages_of,
    only_first,
    text_of,
    texts_of,
)
from tunesmith.data.read.faults import BadRow
from tunesmith.data.read.json_file import LARGEST_BYTES
from tunesmith.data.read.jsonl import parse_json
from tunesmith.errors import DataError
from tunesmith.records import Example, Message

GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
SCORERS = {"exact": "normalised", "choice": "label", "f1": "rouge-l", "match": "regex", "includes": "regex"}
"""What judges nearly as these do; all others ask a model or are somebody's own code."""

Samples = Iterator[tuple[str, dict[str, Any]]]


def is_inspect_log(value: Any) -> bool:
    """Whether this JSON value is the head of such a log."""
    return isinstance(value, dict) and isinstance(value.get("eval"), dict) and "model" in value["eval"]


def read_inspect_log(path: Path) -> OutsideAnswers:
    """The answers in a log. Errors: `DataError`."""
    unread = Unread()
    if path.suffix == ".eval":
        with JsonArchive(path) as archive:
            return _read(path, _head(path, archive), _from_archive(archive, unread), unread)
    value = _whole(path)
    samples = list_of(value.get("samples"))
    named = ((f"sample {number}", sample) for number, sample in enumerate(samples, 1) if isinstance(sample, dict))
    return _read(path, value, named, unread)


def _whole(path: Path) -> dict[str, Any]:
    if path.stat().st_size > LARGEST_BYTES:
        raise _unusable(path, f"over {LARGEST_BYTES // 2**20} MiB", "inspect log convert --to eval")
    try:
        value = parse_json(path.read_bytes())
    except BadRow as bad:
        raise _unusable(path, bad.found, "make the log again") from None
    if not is_inspect_log(value):
        raise _unusable(path, "no eval with a model", "give a log that inspect_ai wrote")
    return dict(value)


def _head(path: Path, archive: JsonArchive) -> dict[str, Any]:
    for name in ("header.json", "_journal/start.json", "start.json"):
        if name in archive:
            try:
                head = archive.read(name)
            except BadRow as bad:
                raise _unusable(path, f"{name}: {bad.found}", "make the log again") from None
            if is_inspect_log(head):
                return dict(head)
    raise _unusable(path, "no header.json with an eval", "give a log that inspect_ai wrote")


def _from_archive(archive: JsonArchive, unread: Unread) -> Samples:
    for name in sorted(archive.names):
        if name.startswith("samples/"):
            try:
                sample = archive.read(name)
            except BadRow as bad:
                unread.add(f"a sample that cannot be read: {bad.found}", name)
                continue
            if isinstance(sample, dict):
                yield name, sample
            else:
                unread.add("a sample that is no object", name)


def _read(path: Path, head: dict[str, Any], samples: Samples, unread: Unread) -> OutsideAnswers:
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
            unread.add("only the first epoch is taken", place)
            continue
        names.update(mapping_of(sample.get("scores")))
        try:
            read.append((number, place, sample, *_parts(sample)))
        except NotText as error:
            unread.add(str(error), place)
    scorer, reason = _scorer(names, unread)
    for number, place, sample, prompt, targets, answer in read:
        example = example_of(number, prompt, _reference(targets, names, scorer, place, unread))
        examples.append(example)
        if example.id not in answers:
            answers[example.id] = answer
            scores[example.id] = _scores(sample, place, unread)
            if answer is None:
                errors[example.id] = str(mapping_of(sample.get("error")).get("message", "no answer"))
    of = head["eval"]
    kept = only_first(examples, unread)
    task = OutsideTask("inspect_ai", str(of.get("task", path.stem)), kept, scorer, reason, unread.sentences())
    return OutsideAnswers(task, str(of["model"]), answers, scores, errors)


def _parts(sample: dict[str, Any]) -> tuple[tuple[Message, ...], list[str], str | None]:
    """What was asked, the targets, and the answer, with long texts put back in their places."""
    attachments = mapping_of(sample.get("attachments"))
    messages = _put_back(list_of(sample.get("messages")), attachments)
    answered = [i for i, message in enumerate(messages) if isinstance(message, dict) and message.get("role") == "assistant"]  # fmt: skip  # noqa: E501
    asked = messages[: answered[-1]] if answered and answered[-1] else _put_back(sample.get("input"), attachments)
    targets = texts_of(_put_back(sample.get("target"), attachments))
    if targets is None:
        raise NotText("a sample without a target")
    if any(isinstance(m, dict) and m.get("role") == "tool" for m in messages):
        raise NotText("a sample whose model used tools")
    output = mapping_of(_put_back(sample.get("output"), attachments))
    choices = [mapping_of(choice).get("message") for choice in list_of(output.get("choices"))]
    answer = text_of(choices[0].get("content")) if choices and isinstance(choices[0], dict) else None
    return messages_of(asked), targets, None if sample.get("error") else answer


def _put_back(value: Any, attachments: dict[str, Any]) -> Any:
    if isinstance(value, str) and value.startswith("attachment://"):
        return attachments.get(value.removeprefix("attachment://"), value)
    if isinstance(value, list):
        return [_put_back(each, attachments) for each in value]
    return {key: _put_back(each, attachments) for key, each in value.items()} if isinstance(value, dict) else value


def _scorer(names: set[str], unread: Unread) -> tuple[str, str]:
    known = sorted(names & set(SCORERS))
    for name in sorted(names - set(SCORERS)):
        unread.add(f"the scorer {name}: its scores are kept, and it is not computed again")
    if not known:
        return "auto", "No scorer of the log has one of ours that judges as it does."
    return SCORERS[known[0]], f"The log was scored by {known[0]}."


def _reference(targets: list[str], names: set[str], scorer: str, place: str, unread: Unread) -> str:
    if scorer == "regex":
        found = one_of(targets, ignore_case=True)
        return found if "match" not in names else rf"{found}\W*\Z"
    if len(targets) > 1:
        unread.add("only the first of several targets is compared with", place)
    return targets[0]


def _scores(sample: dict[str, Any], place: str, unread: Unread) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, score in mapping_of(sample.get("scores")).items():
        value = score.get("value") if isinstance(score, dict) else None
        if isinstance(value, str) and value in GRADES:
            found[name] = GRADES[value]
        elif isinstance(value, (bool, int, float)):
            found[name] = float(value)
        else:
            unread.add(f"a score of {name} that is no number", place)
    return found


def _unusable(path: Path, found: str, do: str) -> DataError:
    return DataError("bad-log", "This log of inspect_ai cannot be read.", where=str(path), found=found, do=do)
