"""A remote winner's bundle holds the prompt and sends it; the key stays in the environment."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tunesmith.export.bundle import verify_bundle, write_bundle
from tunesmith.records import InferenceConfig, Message, OutputConstraint, RemoteRecipe
from tunesmith.runs.contender_files import write_index
from tunesmith.runs.run_folder import RunFolder
from tunesmith.testing.fake_openai import FakeOpenAI, Reply, make_chat_completion, make_error_reply
from tunesmith.testing.raw_service import Connection, RawService


@pytest.fixture
def service() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(str.upper) as fake:
        yield fake


def ask(place: Path, question: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(place / "answer.py"), "--json"],
        input=question,
        capture_output=True,
        text=True,
        env={**os.environ, "OUR_KEY": "sk-secret"},
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_remote_bundle_sends_the_prompt_with_the_key_from_the_environment(
    service: FakeOpenAI, tmp_path: Path
) -> None:
    run = RunFolder.create(tmp_path / "runs", "r")
    shown = {
        "messages": [
            {"role": "user", "content": "red apple"},
            {"role": "assistant", "content": "fruit"},
        ]
    }
    write_index(run.path / "index", "rag", [shown], None)
    remote = RemoteRecipe(
        name="acme", base_url=service.url, model="fake", api_key_env="OUR_KEY", max_tokens=9
    )
    serving = InferenceConfig(
        contender="acme+rag",
        kind="rag",
        model="remote",
        remote=remote,
        system="Sort.",
        instruction="Be short.",
        index="rag",
        k=1,
        output_constraint=OutputConstraint(labels=("fruit", "tool")),
        max_new_tokens=9,
    )
    service.reply = lambda _: Reply(body=make_chat_completion('{"answer": "fruit"}'))
    write_bundle(run, serving, None, "", tmp_path)
    assert verify_bundle(run, serving, tmp_path, is_exact=True).compared == 0, (
        "a service may charge"
    )
    assert ask(tmp_path, "green apple") == {"text": "fruit", "error": None}
    sent = service.requests[-1]
    assert [(one["role"], one["content"]) for one in sent["messages"]] == [
        ("system", "Sort.\n\nBe short."),
        ("user", "red apple"),
        ("assistant", "fruit"),
        ("user", "green apple"),
    ]
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("fake", 0, 9)
    assert sent["response_format"]["json_schema"]["schema"]["properties"]["answer"]["enum"] == [
        "fruit",
        "tool",
    ]
    assert {name.lower(): value for name, value in service.headers[-1].items()}[
        "authorization"
    ] == "Bearer sk-secret"
    assert all("sk-secret" not in path.read_text() for path in tmp_path.iterdir() if path.is_file())


def test_a_refused_request_is_an_error_and_no_answer(service: FakeOpenAI, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "runs", "r")
    remote = RemoteRecipe(name="acme", base_url=service.url, model="fake", api_key_env="OUR_KEY")
    serving = InferenceConfig(
        contender="acme+zero-shot",
        kind="zero-shot",
        model="remote",
        remote=remote,
        max_new_tokens=9,
    )
    write_bundle(run, serving, None, "", tmp_path)
    service.reply = lambda _: make_error_reply(401, "bad key")
    told = ask(tmp_path, "hello")
    assert told["text"] == "" and told["error"].startswith("service error: status 401")


def test_a_service_that_drips_is_not_waited_for_without_end(tmp_path: Path) -> None:
    def talk(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nx: ")
        connection.send_until_closed(b"x")

    with RawService(talk) as dripping:
        run = RunFolder.create(tmp_path / "runs", "r")
        remote = RemoteRecipe(
            name="acme", base_url=dripping.url, model="fake", api_key_env="OUR_KEY"
        )
        serving = InferenceConfig(
            contender="acme+zero-shot",
            kind="zero-shot",
            model="remote",
            remote=remote,
            max_new_tokens=9,
        )
        write_bundle(run, serving, None, "", tmp_path)
        prompt = json.loads((tmp_path / "prompt.json").read_text())
        prompt["service"]["seconds"] = 0.5
        (tmp_path / "prompt.json").write_text(json.dumps(prompt))
        assert ask(tmp_path, "hello") == {
            "text": "",
            "error": "no response from the service within 0.5 s",
        }


def test_a_message_keeps_its_parts_in_a_record() -> None:
    shot = (Message("user", "a"), Message("assistant", "b", weight=0.5))
    serving = InferenceConfig(contender="x", kind="few-shot", shots=(shot,), max_new_tokens=3)
    assert InferenceConfig.model_validate_json(serving.model_dump_json()) == serving
