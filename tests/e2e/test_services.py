"""Services that misbehave, from the command line: what they do costs their own contenders, never
the decision."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from door import Door

from tunesmith import failpoints
from tunesmith.providers.reply_parsing import OTHER_MODEL_NOTE, SHORTENED_NOTE, UNNAMED_TOKENS_NOTE
from tunesmith.records import Decision, Evaluation
from tunesmith.runs.run_folder import RunFolder
from tunesmith.testing.fake_openai import FakeOpenAI, Reply, make_chat_completion, make_error_reply

KEY = "sk-canary-123456789"
SMALL = (
    "requirements.max_forgetting=null",
    "evaluation.prompt_trials=2",
    "evaluation.constrained=false",
    "evaluation.max_test_examples=8",
    "retrieval.search=bm25",
)


@pytest.fixture
def decide(
    tunesmith: Door,
    labels_csv: Path,
    settings: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Any]:
    """Decide with this service as one more model."""
    monkeypatch.setenv("ACME_KEY", KEY)

    def decided(service: FakeOpenAI, *words: str) -> Any:
        remote = {
            "name": "acme",
            "base_url": service.url,
            "model": "fake",
            "api_key_env": "ACME_KEY",
        }
        prices = {"usd_per_million_in": 1.0, "usd_per_million_out": 4.0}
        changes = (*SMALL, f"evaluation.remote={json.dumps([{**remote, **prices}])}")
        flags = [word for change in changes for word in ("--set", change)]
        return tunesmith(
            "decide", labels_csv, "--out", tmp_path / "runs", *settings, *flags, *words
        )

    return decided


def only_run(tmp_path: Path) -> RunFolder:
    (path,) = (tmp_path / "runs").iterdir()
    return RunFolder.open(path)


def test_half_characters_nul_and_the_key_in_answers_end_no_decision(
    decide: Callable[..., Any], tunesmith: Door, tmp_path: Path
) -> None:
    """Each answer holds one of them, and the run is cut short once, so all of it is written and
    read back."""
    said = ["red \ud800", "red\0", f"red {KEY}", "red", "\udc00"]
    with FakeOpenAI(lambda question: said[len(service.requests) % len(said)]) as service:
        failpoints.arm("train.step:1:raise")
        try:
            assert decide(service).code == 70
        finally:
            failpoints.arm(None)
        folder = only_run(tmp_path)
        printed = tunesmith("resume", folder.path)
    assert printed.code == 0, printed.err
    contender = folder.read(Evaluation).get_contender("acme+zero-shot")
    assert contender.metrics["accuracy"].n_failed == 0 and contender.metrics["accuracy"].n == 8
    told = contender.description
    assert (
        "each was replaced by U+FFFD" in told
        and "The service repeated the API key in an answer; it was removed." in told
    )
    for path in folder.path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_a_service_that_dies_is_left_alone_and_told(
    decide: Callable[..., Any], tmp_path: Path
) -> None:
    """It answers the first question and then no more. Before, every round asked it again with full
    patience."""

    def reply(request: dict[str, Any]) -> Reply | None:
        return make_error_reply(401, "revoked") if len(service.requests) > 3 else None

    with FakeOpenAI(lambda question: "red", reply=reply) as service:
        printed = decide(service)
        assert printed.code == 0, printed.err
        assert len(service.requests) <= 3 + 4 + 3, (
            "four at once saw it die; three rounds looked whether it was back"
        )
    folder = only_run(tmp_path)
    assert "None of " in printed.err and "candidates has a score on " in printed.err
    assert "acme: sends the value of $ACME_KEY to 127.0.0.1" in printed.err
    assert not (folder.read(Decision).winner or "").startswith("acme")
    scores = folder.read(Evaluation).get_contender("acme+few-shot").metrics["accuracy"]
    assert (scores.n, scores.n_failed) == (0, 8)


def test_evaluate_tells_what_a_service_did_in_silence(
    tunesmith: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its questions cut, reasoning that is charged, another model: seen in evaluate, where only
    decide told it."""
    monkeypatch.setenv("ACME_KEY", KEY)
    questions = [f"{number} {'word ' * 600} red or blue?" for number in range(12)]
    data = tmp_path / "data.jsonl"
    rows = [
        {"prompt": question, "completion": ("red", "blue")[i % 2]}
        for i, question in enumerate(questions)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    usage = {"prompt_tokens": 300, "completion_tokens": 5, "total_tokens": 405}
    body = {**make_chat_completion("The answer is red."), "usage": usage, "model": "gpt-small"}
    with FakeOpenAI(str, reply=lambda request: Reply(body=body)) as service:
        remote = {
            "name": "acme",
            "base_url": service.url,
            "model": "gpt-large",
            "api_key_env": "ACME_KEY",
        }
        prices = {"usd_per_million_in": 1.0, "usd_per_million_out": 4.0}
        change = f"evaluation.remote={json.dumps([{**remote, **prices}])}"
        printed = tunesmith("evaluate", "--data", data, "--set", change, "--json")
    [contender] = json.loads(printed.out)["contenders"]
    assert printed.code == 0 and contender["metrics"]["accuracy"]["value"] == 0.5
    for note in (
        SHORTENED_NOTE,
        UNNAMED_TOKENS_NOTE,
        f"{OTHER_MODEL_NOTE}'gpt-small' for 'gpt-large'.",
    ):
        assert note in contender["description"] and note in printed.err
    assert contender["tokens_out_per_request"] == 105
