"""Tasks and answers in other tools' formats: what is read, and that what is not understood is named
with its place."""

import io
import json
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tunesmith.data.interop import ImportedAnswers, ImportedTask, detect_tool, read_tool_file
from tunesmith.data.interop import zip_json as archive_module
from tunesmith.errors import DataError

FILES = Path(__file__).parent / "outside"


def task(name: str | Path) -> ImportedTask:
    found = read_tool_file(FILES / name)
    assert isinstance(found, ImportedTask)
    return found


def answers(path: Path) -> ImportedAnswers:
    found = read_tool_file(path)
    assert isinstance(found, ImportedAnswers)
    return found


def is_right(pattern: str, answer: str) -> bool:
    """As the scorer `regex` searches."""
    return re.search(pattern, answer, re.MULTILINE) is not None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("promptfoo.yaml", "promptfoo"),
        ("equal.yaml", "promptfoo"),
        ("evals.yaml", "openai-evals registry"),
        ("samples.jsonl", "openai-evals"),
        ("hosted.jsonl", "openai-evals"),
        ("log.json", "inspect_ai"),
        ("samples_sums_2026-01-01.jsonl", "lm-eval"),
        ("samples_choices.jsonl", "lm-eval"),
        ("questions.csv", None),
        ("not there.jsonl", None),
    ],
)
def test_the_format_is_found_by_looking_inside(name: str, kind: str | None) -> None:
    path = FILES / name
    if (
        name == "equal.yaml"
    ):  # neither prompts nor providers alone make a configuration; this one has prompts
        assert "providers" not in path.read_text()
    assert detect_tool(path) == kind


def test_our_own_data_is_no_other_tools(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n')
    assert detect_tool(path) is None
    with pytest.raises(DataError) as caught:
        read_tool_file(path)
    assert caught.value.code == "data/unknown-outside-format"


# --- promptfoo
# --------------------------------------------------------------------------------------------------


def test_promptfoo_assertions_about_text_become_one_pattern_and_the_rest_is_named() -> None:
    found = task("promptfoo.yaml")
    assert (found.format, found.name, found.scorer) == ("promptfoo", "Where things are", "regex")
    city, no, yes, colours = found.examples
    assert [one.line for one in found.examples] == [1, 2, 2, 3]
    assert city.question == "Answer in one word: Which city has the Louvre?"
    assert [is_right(city.answer, text) for text in ("In PARIS.", "Lyon", "Paris, sorry")] == [
        True,
        False,
        False,
    ]
    assert no.question.endswith("Is it no?") and yes.question.endswith("Is it yes?")
    assert [is_right(no.answer, text) for text in ("no", "no\nand more", "nope")] == [
        True,
        False,
        False,
    ]
    assert [
        is_right(colours.answer, text) for text in ("blue\nred", "blue", "sorry, red, blue")
    ] == [
        True,
        False,
        False,
    ]
    assert found.unsupported == (
        "excluded by the configuration (providers: ['openai:gpt-5-mini'])",
        "of 2 prompts only the first is used",
        "no value for {{question}} (test 4)",
        "options of a test; the test is excluded (test 5)",
        (
            "tests in an unsupported file: only YAML, JSON, JSONL and CSV in the same folder "
            "are read (file:///etc/passwd)"
        ),
        "the assertion llm-rubric is unknown; its test is excluded (test 6)",
        "the assertion javascript is unknown; its test is excluded (test 7)",
        "the assertion is-json is unknown; its test is excluded (test 8)",
    )


def test_promptfoo_equality_alone_keeps_plain_answers() -> None:
    found = task("equal.yaml")
    assert (found.scorer, [one.answer for one in found.examples]) == ("exact", ["on", "7"])
    assert [(m.role, m.content) for m in found.examples[0].prompt] == [
        ("system", "Be brief."),
        ("user", "Say on"),
    ]
    assert found.unsupported == ()


def test_promptfoo_tests_may_lie_in_a_csv_file_beside_it() -> None:
    found = task("tests_in_csv.yaml")
    assert [one.question for one in found.examples] == [
        "2 + 2?",
        "Name a city, please",
        "Any fish?",
        "At eight?",
    ]
    assert is_right(found.examples[2].answer, "a trout") and not is_right(
        found.examples[2].answer, "a cod"
    )
    assert is_right(found.examples[1].answer, "in PARIS") and is_right(
        found.examples[1].answer, "rome"
    )
    assert is_right(found.examples[3].answer, "8:00") and not is_right(
        found.examples[3].answer, "at 8:00"
    )
    assert is_right(found.examples[0].answer, " 4\n") and not is_right(
        found.examples[0].answer, "44"
    )
    assert found.unsupported == (
        "excluded by the configuration (providers: ['echo'])",
        "the assertion is-json is unknown; its test is excluded (test 4)",
        "the assertion similar is unknown; its test is excluded (test 5)",
        "the assertion llm-rubric is unknown; its test is excluded (test 7)",
        "the assertion javascript is unknown; its test is excluded (test 8)",
        (
            "the assertion threshold over several assertions is unknown; its test is "
            "excluded (test 9)"
        ),
    )


def test_of_several_prompts_in_a_text_file_the_first_is_asked(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("In a word: {{q}}\n---\nAt length: {{q}}\n")
    (tmp_path / "t.csv").write_text(
        "q,__expected1,__expected2,__prefix,__suffix\nwho,contains:a,not-contains:b,Hi. ,?\n"
    )
    (tmp_path / "c.yaml").write_text("prompts: [file://p.txt]\ntests: file://t.csv\n")
    found = task(tmp_path / "c.yaml")
    assert [one.question for one in found.examples] == ["Hi. In a word: who?"]
    assert [is_right(found.examples[0].answer, text) for text in ("a", "ab", "c")] == [
        True,
        False,
        False,
    ]
    assert found.unsupported == ("of 2 prompts only the first is used (p.txt)",)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tests: &a [1]\nprompts: *a\n", "aliases"),
        ("tests: 1\ntests: 2\nprompts: x\n", "duplicate key"),
        (
            "tests: !!python/object/apply:os.system [ls]\nprompts: x\n",
            "object/apply:os.system is not supported",
        ),
        ("tests: !!set {x}\nprompts: x\n", "the tag tag:yaml.org,2002:set is not supported"),
        ("tests: " + "[" * 2000, ""),
    ],
)
def test_dangerous_yaml_is_refused(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_tool_file(path)
    assert caught.value.code == "data/not-yaml"
    assert found in caught.value.got


# --- OpenAI Evals
# --------------------------------------------------------------------------------------------------


def test_samples_alone_name_no_grader() -> None:
    found = task("samples.jsonl")
    assert (found.scorer, len(found.examples)) == ("regex", 2)
    assert "names no grader" in found.scorer_reason
    assert [(m.role, m.content) for m in found.examples[0].prompt] == [
        ("system", "Answer with a number."),
        ("user", "2 + 2"),
    ]
    six = found.examples[1].answer
    assert [is_right(six, text) for text in ("six of them", "6", "it is 6")] == [True, True, False]
    assert found.unsupported == (
        "content that is not text (line 3)",
        (
            "a sample without an ideal answer under any of ideal, answer, expected,"
            " expected_output, reference, correct_label, label, target (line 4)"
        ),
    )


def test_the_registry_names_the_grader() -> None:
    found = task("evals.yaml")
    assert (found.name, found.scorer, found.scorer_reason) == (
        "sums.dev.v0",
        "regex",
        "The eval uses the grader Includes.",
    )
    assert is_right(found.examples[1].answer, "It is SIX")
    assert found.unsupported[0] == "an argument of the grader (max_tokens)"


@pytest.mark.parametrize(
    ("grader", "ideal", "scorer", "named"),
    [
        ("basic.match:Match", "4", "regex", 0),
        ("basic.fuzzy_match:FuzzyMatch", ["4", "four"], "match:fuzzy", 0),
        ("basic.json_match:JsonMatch", '{"a": 1}', "json", 0),
        ("modelgraded.classify:ModelBasedClassify", "4", "auto", 1),
    ],
)
def test_each_common_grader(
    tmp_path: Path, grader: str, ideal: object, scorer: str, named: int
) -> None:
    (tmp_path / "s.jsonl").write_text(json.dumps({"input": "2 + 2", "ideal": ideal}))
    (tmp_path / "e.yaml").write_text(
        f"e:\n  class: evals.elsuite.{grader}\n  args: {{samples_jsonl: s.jsonl}}\n"
    )
    found = read_tool_file(tmp_path / "e.yaml")
    assert isinstance(found, ImportedTask)
    assert (found.scorer, len(found.unsupported)) == (scorer, named)


def test_samples_elsewhere_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(
        "e:\n  class: a:Match\n  args: {samples_jsonl: ../../../../etc/passwd}\n"
    )
    with pytest.raises(DataError, match="no-samples"):
        read_tool_file(tmp_path / "e.yaml")


def test_rows_of_the_hosted_evals() -> None:
    found = task("hosted.jsonl")
    assert [(one.question, one.answer) for one in found.examples][1] == (
        "I cannot log in",
        "Software",
    )
    assert (found.scorer, found.unsupported) == ("auto", ())


# --- lm-eval
# --------------------------------------------------------------------------------------------------


def test_lm_eval_samples_are_answers_under_the_first_filter() -> None:
    found = answers(FILES / "samples_sums_2026-01-01.jsonl")
    first, second = found.task.examples
    assert (found.task.name, found.task.scorer) == ("sums_2026-01-01", "number")
    assert (first.question, second.question) == ("Question: 2 + 2\nAnswer:", "3 + 3")
    assert found.answers == {first.id: "4", second.id: "[invalid]"}
    assert found.scores == {first.id: {"exact_match": 1.0}, second.id: {"exact_match": 0.0}}
    assert found.task.unsupported == (
        "the filter 'flexible-extract', in addition to 'strict-match' (line 2)",
    )


def test_lm_eval_choices_are_answered_by_the_likeliest() -> None:
    found = answers(FILES / "samples_choices.jsonl")
    grass, snow = found.task.examples
    assert (grass.answer, snow.answer) == ("green", "white")
    assert found.answers == {grass.id: "green", snow.id: "black"}
    assert found.scores[grass.id] == {"acc": 1.0, "acc_norm": 0.0}
    assert found.task.unsupported == (
        "a sample that is scored by the likelihood of one text (line 3)",
    )


# --- inspect_ai
# --------------------------------------------------------------------------------------------------


def check_log(found: ImportedAnswers) -> None:
    paris, lima = found.task.examples
    assert (found.contender, found.task.name, found.task.scorer) == (
        "openai/gpt-5-mini",
        "capitals",
        "match:end",
    )
    assert found.matching_score == "match"
    assert [(m.role, m.content) for m in paris.prompt] == [
        ("system", "Be brief."),
        ("user", "Capital of France?"),
    ]
    assert found.answers == {paris.id: "Paris.", lima.id: None}
    assert found.errors == {lima.id: "rate limit"}
    assert found.scores[paris.id] == {"match": 1.0, "model_graded_qa": 0.5}
    assert paris.answer == "Paris"
    told = " ".join(found.task.unsupported)
    for what in ("only the first epoch", "used tools", "the scorer model_graded_qa"):
        assert what in told


def test_an_inspect_log_as_json() -> None:
    check_log(answers(FILES / "log.json"))


def as_archive(path: Path, changed: dict[str, bytes] | None = None) -> Path:
    log = json.loads((FILES / "log.json").read_text())
    samples = log.pop("samples")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("header.json", json.dumps(log))
        for sample in samples:
            file.writestr(
                f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample)
            )
        for name, content in (changed or {}).items():
            file.writestr(name, content)
    return path


def test_an_inspect_log_as_archive_says_the_same(tmp_path: Path) -> None:
    check_log(answers(as_archive(tmp_path / "log.eval")))


def test_a_sample_that_is_not_json_is_named(tmp_path: Path) -> None:
    found = answers(as_archive(tmp_path / "log.eval", {"samples/9_epoch_1.json": b'{"id": NaN}'}))
    assert "a sample that cannot be read: NaN (samples/9_epoch_1.json)" in found.task.unsupported


@pytest.mark.parametrize(
    "name", ["../x.json", "/x.json", "a/../../x.json", "C:/x.json", "a\\x.json", "HEADER.json"]
)
def test_an_archive_with_a_bad_path_is_refused(tmp_path: Path, name: str) -> None:
    path = as_archive(tmp_path / "log.eval", {name.replace("\\", "/"): b"{}"})
    if "\\" in name:  # zipfile writes another name than it is asked to
        path.write_bytes(path.read_bytes().replace(b"a/x.json", b"a\\x.json"))
    with pytest.raises(DataError) as caught:
        read_tool_file(path)
    assert caught.value.code == "data/bad-archive"


def test_an_archive_with_a_link_or_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = zipfile.ZipInfo("samples/link.json")
    link.external_attr = 0o120777 << 16
    path = as_archive(tmp_path / "log.eval")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="which is not a file"):
        read_tool_file(path)
    bomb = as_archive(tmp_path / "bomb.eval", {"samples/8_epoch_1.json": b" " * 3_000_000})
    monkeypatch.setattr(archive_module, "MAX_ENTRY_BYTES", 1_000_000)
    with pytest.raises(DataError, match="larger than a log may be"):
        read_tool_file(bomb)
    monkeypatch.setattr(archive_module, "MAX_ENTRIES", 3)
    with pytest.raises(DataError, match="entries; a log has at most"):
        read_tool_file(bomb)
    monkeypatch.setattr(archive_module, "MAX_DIRECTORY_BYTES", 10)
    with pytest.raises(DataError, match="more than 3 entries"):
        read_tool_file(bomb)


def test_a_damaged_archive_is_one_message(tmp_path: Path) -> None:
    path = as_archive(tmp_path / "log.eval")
    raw = bytearray(path.read_bytes())
    begin = raw.index(b"header.json") + 11
    raw[begin : begin + 30] = bytes(30)
    path.write_bytes(raw)
    with pytest.raises(DataError, match="bad-archive"):
        read_tool_file(path)
    path.write_bytes(io.BytesIO(raw[:200]).getvalue())
    with pytest.raises(DataError, match="unknown-outside-format"):
        read_tool_file(path)


# --- files that strangers made
# ----------------------------------------------------------------------------------------

ODD = (None, 1.5, "x", [], {"a": 1}, [{}], [[1]])


def changed_everywhere(value: object) -> Iterator[object]:
    """The value with each of its parts, one after the other, replaced by something odd."""
    yield from ODD
    parts = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, part in parts:
        for other in changed_everywhere(part):
            copy = dict(value) if isinstance(value, dict) else list(value)  # type: ignore[call-overload]
            copy[key] = other
            yield copy


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("samples.jsonl", 0),
        ("hosted.jsonl", 0),
        ("samples_sums_2026-01-01.jsonl", 0),
        ("samples_choices.jsonl", 1),
        ("log.json", None),
        ("promptfoo.yaml", None),
        ("evals.yaml", None),
    ],
)
def test_no_odd_value_ends_in_a_traceback(tmp_path: Path, name: str, line: int | None) -> None:
    text = (FILES / name).read_text()
    value = json.loads(text.splitlines()[line]) if line is not None else yaml.safe_load(text)
    path = tmp_path / name
    (tmp_path / "samples.jsonl").write_text((FILES / "samples.jsonl").read_text())
    tried = 0
    for changed in changed_everywhere(value):
        path.write_text(json.dumps(changed))
        tried += 1
        with suppress(DataError):
            found = read_tool_file(path)
            task = found.task if isinstance(found, ImportedAnswers) else found
            assert task.examples
    assert tried > 15


def test_a_pipe_is_not_looked_into(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.jsonl")
    assert detect_tool(tmp_path / "rows.jsonl") is None


@pytest.mark.parametrize("prompt", ["a" * 400, "ä" * 200, "a/" * 3000])
def test_a_prompt_that_can_be_no_file_name_is_a_prompt(tmp_path: Path, prompt: str) -> None:
    path = tmp_path / "p.yaml"
    check = "assert: [{type: equals, value: b}]"
    path.write_text(f"prompts: ['{prompt}']\nproviders: [x]\ntests: [{{{check}}}]\n")
    (example,) = task(path).examples
    assert example.question == prompt


def test_samples_that_can_be_no_file_name_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "a: {id: a.v0}\na.v0:\n  class: basic.match:Match\n  args: {samples_jsonl:"
        f" {'ä' * 200}}}\n"
    )
    with pytest.raises(DataError, match="data/no-samples"):
        read_tool_file(path)
