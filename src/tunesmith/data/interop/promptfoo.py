"""Read promptfoo configurations: prompts with variables, tests with assertions.

    prompts: ["Answer briefly: {{question}}"]
    providers: [openai:gpt-5-mini]
    defaultTest: {assert: [{type: icontains, value: "{{answer}}"}]}
    tests: [{vars: {question: Where?, answer: Here}, assert: [{type: equals, value: Here}]}]

Each test uses the first prompt; a text file may hold several, separated by lines of `---`. If all
assertions are equality, the scorer is `exact` (or `json`) and the value is the answer; all other
assertions about the text of an answer become one regular expression. Tests with assertions that use
a model, run code or are unknown are listed and left out: a test judged by a part of its assertions
would be another test. Providers, transforms and files outside the folder are listed as unsupported
too. In CSV files `__expected` is an assertion in promptfoo's text form (`contains: Paris`,
`similar(0.8): ...`); only a text of no such kind must be equal.
Source: site/docs/configuration/reference.md and expected-outputs/deterministic.md of
promptfoo/promptfoo.
"""

import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from tunesmith.atomic_io import read_text_file
from tunesmith.data.interop.imported_content import (
    ImportedTask,
    NonTextContent,
    UnsupportedFeatures,
    as_list,
    as_mapping,
    build_example,
    drop_repeated,
    parse_messages,
)
from tunesmith.data.interop.regex_assertions import (
    forbid_match,
    match_all,
    match_any,
    match_whole,
    require_match,
)
from tunesmith.data.interop.tool_files import find_file_below, read_yaml
from tunesmith.data.read.csv_file import read_csv
from tunesmith.data.read.jsonl_file import read_jsonl
from tunesmith.data.read.row_errors import RowError
from tunesmith.records import Example, Message

SUPPORTED_KEYS = {"prompts", "tests", "defaultTest", "description", "assert"}
SUPPORTED_TEST_KEYS = {"vars", "assert", "description", "metadata"}
ASSERTION_KINDS = (
    "answer-relevance",
    "bleu",
    "classifier",
    "contains",
    "contains-all",
    "contains-any",
    "contains-html",
    "contains-json",
    "contains-sql",
    "contains-xml",
    "context-faithfulness",
    "context-recall",
    "context-relevance",
    "conversation-relevance",
    "cost",
    "equals",
    "factuality",
    "finish-reason",
    "g-eval",
    "gleu",
    "guardrails",
    "icontains",
    "icontains-all",
    "icontains-any",
    "is-html",
    "is-json",
    "is-refusal",
    "is-sql",
    "is-valid-function-call",
    "is-valid-openai-function-call",
    "is-valid-openai-tools-call",
    "is-xml",
    "javascript",
    "latency",
    "levenshtein",
    "llm-rubric",
    "max-score",
    "meteor",
    "model-graded-closedqa",
    "model-graded-factuality",
    "moderation",
    "perplexity",
    "perplexity-score",
    "pi",
    "python",
    "regex",
    "rouge-n",
    "ruby",
    "select-best",
    "similar",
    "similar:cosine",
    "similar:dot",
    "similar:euclidean",
    "starts-with",
    "tool-call-f1",
    "trajectory",
    "webhook",
    "word-count",
)
"""Kinds of assertions in promptfoo 0.119; each also exists with the prefix `not-`."""
ASSERTION_ALIASES = {"grade": "llm-rubric", "fn": "javascript", "eval": "javascript"}
SCORING_KEYS = {"options", "threshold", "assertScoringFunction"}
"""Keys of a test that change how it is judged: a test with one of them is left out."""
IGNORED_COLUMNS = ("__description", "__metric", "__metadata", "__providerOutput")
MAX_COMBINATIONS = 1_000
MAX_FILE_BYTES = 8 * 2**20
_VARIABLE = re.compile(r"\{\{-?\s*([A-Za-z_][\w.]*)\s*-?\}\}")
_PROMPT_BREAK = re.compile(r"^[^\S\n]*---[^\S\n]*$", re.MULTILINE)
# Longest kinds first, since `|` takes the first that matches: "contains-all" before "contains".
_ASSERTION = re.compile(
    rf"(?P<kind>(?:not-)?(?:{'|'.join(sorted((*ASSERTION_KINDS, *ASSERTION_ALIASES), key=len, reverse=True))}))"  # noqa: E501
    r"(?:\((?P<threshold>[\d.]+)\))?(?::(?P<value>[\s\S]*))?"
)
_OTHER_TEMPLATE = re.compile(r"\{\{|\{%|\{#")


def is_promptfoo(value: Any) -> bool:
    """Whether this YAML value is such a configuration."""
    return (
        isinstance(value, dict)
        and "tests" in value
        and ("prompts" in value or "providers" in value)
    )


def read_promptfoo(path: Path) -> ImportedTask:
    """The tests of a configuration as a task. Errors: `DataError` when it is not YAML."""
    config = read_yaml(path)
    unread = UnsupportedFeatures()
    for key in sorted(map(str, set(config) - SUPPORTED_KEYS)):
        unread.add(
            "excluded by the configuration",
            f"{key}: {config[key]}"[:60] if key == "providers" else key,
        )
    prompt = _read_first_prompt(config.get("prompts"), path.parent, unread)
    default = as_mapping(config.get("defaultTest"))
    if config.get("defaultTest") and not default:
        unread.add("a defaultTest that is a file")
    for key in sorted(set(map(str, default)) - SUPPORTED_TEST_KEYS):
        unread.add(f"{key} of the defaultTest")
    asked: list[tuple[int, tuple[Message, ...], list[dict[str, Any]]]] = []
    for number, test in enumerate(_read_tests(config["tests"], path.parent, unread), 1):
        place = f"test {number}"
        if not isinstance(test, dict):
            unread.add("a test that is not a mapping", place)
            continue
        options = as_mapping(test.get("options"))
        around = {key: str(options[key]) for key in ("prefix", "suffix") if options.get(key)}
        used = SUPPORTED_TEST_KEYS | (
            {"options"} if set(options) <= {"prefix", "suffix"} else set()
        )
        unknown = sorted(set(map(str, test)) - used)
        for key in unknown:
            left_out = "; the test is excluded" if key in SCORING_KEYS else ""
            unread.add(f"{key} of a test{left_out}", place)
        if SCORING_KEYS & set(unknown):
            continue
        if test.get("vars") and not isinstance(test["vars"], dict):
            unread.add("vars that are a file", place)
        variables = {**as_mapping(default.get("vars")), **as_mapping(test.get("vars"))}
        checks = [*as_list(default.get("assert")), *as_list(test.get("assert"))]
        for combination in _iterate_combinations(variables, place, unread):
            try:
                filled = _fill_variables(combination, combination)  # variables may name variables
                framed = _add_prefix_and_suffix(prompt, around)
                asked.append(
                    (
                        number,
                        _fill_prompt(framed, filled),
                        [_fill_variables(check, filled) for check in checks],
                    )
                )
            except NonTextContent as error:
                unread.add(str(error), place)
    return _build_task(config.get("description") or path.stem, asked, unread)


# --- prompts and variables ---


def _read_first_prompt(prompts: Any, folder: Path, unread: UnsupportedFeatures) -> Any:
    prompts = prompts if isinstance(prompts, list) else [prompts]
    if len(prompts) > 1:
        unread.add(f"of {len(prompts)} prompts only the first is used")
    prompt = prompts[0] if prompts else None
    if isinstance(prompt, dict):
        prompt = prompt.get("raw") or prompt.get("id")
    if isinstance(prompt, str) and (
        prompt.startswith("file://") or find_file_below(folder, prompt)
    ):
        return _read_prompt_file(folder, prompt.removeprefix("file://"), unread)
    if isinstance(prompt, str):
        return prompt
    unread.add("no prompt that is text: the variables themselves are the prompt")
    return None


def _add_prefix_and_suffix(prompt: Any, around: dict[str, str]) -> Any:
    """The prompt with a test's prefix and suffix. Errors: `NonTextContent` unless it is text."""
    if not around:
        return prompt
    if not isinstance(prompt, str) or prompt.lstrip().startswith("["):
        raise NonTextContent("a prefix or suffix around messages")
    return around.get("prefix", "") + prompt + around.get("suffix", "")


def _fill_prompt(prompt: Any, variables: dict[str, Any]) -> tuple[Message, ...]:
    """The prompt as messages with its variables filled in. Errors: `NonTextContent`."""
    if prompt is None:
        return parse_messages("\n".join(str(value) for value in variables.values()))
    try:
        messages = json.loads(prompt) if prompt.lstrip().startswith("[") else prompt
    except (ValueError, RecursionError):
        messages = prompt
    return parse_messages(_fill_variables(messages, variables))


def _fill_variables(value: Any, variables: dict[str, Any]) -> Any:
    """Replace `{{name}}` and `{{name.part}}` everywhere in a value.

    Errors: `NonTextContent` for any other template syntax.
    """
    if isinstance(value, list):
        return [_fill_variables(each, variables) for each in value]
    if isinstance(value, dict):
        return {key: _fill_variables(each, variables) for key, each in value.items()}
    if not isinstance(value, str):
        return value
    # Checked on what remains without the supported variables: filters, loops and comments.
    if _OTHER_TEMPLATE.search(_VARIABLE.sub("", value)):
        raise NonTextContent("template language beyond {{name}}")

    def replace_variable(match: re.Match[str]) -> str:
        found: Any = variables
        for name in match[1].split("."):
            if not isinstance(found, dict) or name not in found:
                raise NonTextContent(f"no value for {{{{{match[1]}}}}}")
            found = found[name]
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)

    return _VARIABLE.sub(replace_variable, value)


def _iterate_combinations(
    variables: dict[str, Any], place: str, unread: UnsupportedFeatures
) -> Iterator[dict[str, Any]]:
    """One set of variables for each combination: a list value means one test per element."""
    names = list(variables)
    values = [value if isinstance(value, list) else [value] for value in variables.values()]
    for count, chosen in enumerate(product(*values)):
        if count == MAX_COMBINATIONS:
            unread.add(f"more than {MAX_COMBINATIONS:,} combinations of its variables", place)
            return
        if any(isinstance(value, str) and value.startswith("file://") for value in chosen):
            unread.add("a variable that is a file", place)
        else:
            yield dict(zip(names, chosen, strict=True))


def _read_tests(tests: Any, folder: Path, unread: UnsupportedFeatures) -> Iterator[Any]:
    """The tests in order; files in the same folder are read, CSV columns become variables."""
    for test in tests if isinstance(tests, list) else [tests]:
        if not isinstance(test, str):
            yield test
            continue
        path = find_file_below(folder, test.removeprefix("file://"))
        if path is None or path.suffix not in (".yaml", ".yml", ".json", ".jsonl", ".csv"):
            unread.add(
                "tests in an unsupported file: only YAML, JSON, JSONL and CSV in the same "
                "folder are read",
                test,
            )
        elif path.suffix in (".csv", ".jsonl"):
            for row in read_csv(path) if path.suffix == ".csv" else read_jsonl(path):
                if isinstance(row, RowError):
                    unread.add(f"a row that cannot be read: {row.got}", f"{test} {row.line}")
                else:
                    yield _parse_csv_test(row.values) if path.suffix == ".csv" else row.values
        else:
            value = read_yaml(path)  # JSON is YAML
            yield from value if isinstance(value, list) else [value]


def _parse_csv_test(values: dict[str, Any]) -> dict[str, Any]:
    """A CSV row as a test: `__expected` is an assertion (`contains:text`) or an exact text."""
    checks = []
    for name, value in values.items():
        if re.fullmatch(r"__expected\d*", name) and value:
            checks.append(_parse_assertion(str(value)))
    used = ("__expected", "__prefix", "__suffix", *IGNORED_COLUMNS)
    other = {
        name: values[name]
        for name in values
        if name.startswith("__") and not name.startswith(used) and values[name]
    }
    if values.get("__threshold") and len(checks) > 1:
        checks.append({"type": "threshold over several assertions"})
    other.pop("__threshold", None)
    return {
        "vars": {name: value for name, value in values.items() if not name.startswith("__")},
        "assert": checks,
        "options": {
            key: values[f"__{key}"] for key in ("prefix", "suffix") if values.get(f"__{key}")
        },
        **other,
    }


def _parse_assertion(text: str) -> dict[str, Any]:
    """Parse `contains: Paris`, `similar(0.8): Paris`, `is-json`; any other text must be equal."""
    match = _ASSERTION.fullmatch(text.strip())
    if match is None:
        return (
            {"type": "python or javascript"}
            if text.startswith("file://")
            else {"type": "equals", "value": text}
        )
    negation, kind = (
        ("not-", match["kind"][4:]) if match["kind"].startswith("not-") else ("", match["kind"])
    )
    kind = ASSERTION_ALIASES.get(kind, kind)
    value: Any = (match["value"] or "").strip()
    if kind.endswith(("-any", "-all")):
        value = [one.strip() for one in value.split(",")]
    threshold = {"threshold": match["threshold"]} if match["threshold"] else {}
    return {"type": negation + kind, "value": value, **threshold}


def _read_prompt_file(folder: Path, name: str, unread: UnsupportedFeatures) -> str | None:
    path = find_file_below(folder, name)
    if (
        path is None
        or path.stat().st_size > MAX_FILE_BYTES
        or path.suffix not in (".txt", ".md", ".json")
    ):
        unread.add("a prompt that is not a .txt, .md or .json file in the same folder", name)
        return None
    text = read_text_file(path, "replace")
    if path.suffix != ".txt":
        return text
    parts = [part.strip() for part in _PROMPT_BREAK.split(text) if part.strip()]
    if len(parts) > 1:
        unread.add(f"of {len(parts)} prompts only the first is used", name)
    return parts[0] if parts else text


# --- assertions ---


def _build_task(
    name: str,
    asked: list[tuple[int, tuple[Message, ...], list[dict[str, Any]]]],
    unread: UnsupportedFeatures,
) -> ImportedTask:
    read = []
    for number, prompt, checks in asked:
        unknown = [check for check in checks if _build_condition(check) is None]
        for check in unknown:
            kind = check.get("type") if isinstance(check, dict) else check
            unread.add(f"the assertion {kind} is unknown; its test is excluded", f"test {number}")
        if checks and not unknown:
            read.append((number, prompt, checks))
        elif not checks:
            unread.add("a test without an assertion is excluded", f"test {number}")
    # One scorer for the whole task: plain equality only if no test needs more than that.
    are_equal = all(len(known) == 1 and known[0]["type"] == "equals" for _, _, known in read)
    are_json = are_equal and all(
        isinstance(known[0]["value"], (dict, list)) for _, _, known in read
    )
    examples: list[Example] = []
    for number, prompt, known in read:
        if are_equal:
            answer = _to_text(known[0]["value"])
        else:
            answer = match_all(
                [condition for check in known if (condition := _build_condition(check)) is not None]
            )
        examples.append(build_example(number, prompt, answer))
    scorer = "json" if are_json else "exact" if are_equal else "regex"
    reason = (
        "All assertions are equality."
        if are_equal
        else "The assertions are written as regular expressions."
    )
    return ImportedTask(
        "promptfoo",
        name,
        drop_repeated(examples, unread),
        scorer,
        reason,
        unread.format_sentences(),
    )


def _build_condition(check: Any) -> str | None:
    """An assertion as a lookahead; None when unsupported, as with a weight or a transform."""
    if (
        not isinstance(check, dict)
        or not isinstance(check.get("type"), str)
        or set(check) - {"type", "value", "metric"}
    ):
        return None
    kind, value = check["type"], check.get("value")
    is_negated = kind.startswith("not-")
    kind = kind.removeprefix("not-")
    pattern = _build_pattern(kind, value)
    if pattern is not None:
        return forbid_match(pattern) if is_negated else require_match(pattern)
    if (
        kind in ("contains-all", "icontains-all")
        and not is_negated
        and isinstance(value, list)
        and value
    ):
        return "".join(
            require_match(match_any([_to_text(each)], ignore_case=kind[0] == "i")) for each in value
        )
    return None


def _build_pattern(kind: str, value: Any) -> str | None:
    if value is None or value == "" or (isinstance(value, str) and value.startswith("file://")):
        return None
    if kind == "equals":
        return match_whole([_to_text(value)])
    if kind in ("contains", "icontains") and not isinstance(value, (list, dict)):
        return match_any([_to_text(value)], ignore_case=kind == "icontains")
    if kind in ("contains-any", "icontains-any") and isinstance(value, list) and value:
        return match_any([_to_text(each) for each in value], ignore_case=kind == "icontains-any")
    if kind == "starts-with" and isinstance(value, str):
        return rf"\A{match_any([value])}"
    return _convert_pattern(value) if kind == "regex" and isinstance(value, str) else None


def _convert_pattern(pattern: str) -> str | None:
    """A JavaScript pattern that means the same in Python; None for any other one."""
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return None
    # Back-references would be renumbered inside a larger pattern, global flags apply to all of it.
    return None if re.search(r"\\[1-9]|\(\?P|\(\?[a-z]+\)", pattern) else f"(?-m:{pattern})"


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
