"""Models with the plain question: the instruction before it counts for answers and likelihoods."""

from collections.abc import Sequence
from typing import Any

import pytest

from tunesmith.contenders.prompting.few_shot import SystemPromptLogprobs
from tunesmith.contenders.zero_shot_contenders import open_plain_remote_contenders
from tunesmith.progress_listener import NULL_LISTENER
from tunesmith.records import (
    AnswerLogprob,
    Message,
    ProgressCallback,
    Prompt,
    Recipe,
    RemoteRecipe,
)
from tunesmith.testing.fake_openai import FakeOpenAI, Reply, make_chat_completion


class RecordingModel:
    """Remembers the prompts whose answers it was asked to rate."""

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []

    def compute_logprobs(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[str],
        progress: ProgressCallback | None = None,
    ) -> list[AnswerLogprob]:
        self.prompts += prompts
        return [AnswerLogprob(-1.0, 2) for _ in answers]


def test_likelihoods_are_those_after_the_instructed_question() -> None:
    model = RecordingModel()
    bare, with_system = (Message("user", "One?"),), (Message("system", "s"), Message("user", "b"))
    found = SystemPromptLogprobs(model, "Be short.").compute_logprobs([bare, with_system], "ab")
    assert found == [AnswerLogprob(-1.0, 2)] * 2
    assert model.prompts == [(Message("system", "Be short."), *bare), with_system]


def test_a_remote_contender_asks_with_the_instruction_and_tells_what_its_service_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACME_KEY", "secret")
    body = {**make_chat_completion("red"), "model": "somebody-else"}
    requests: list[dict[str, Any]] = []

    def reply(request: dict[str, Any]) -> Reply:
        requests.append(request)
        return Reply(body=body)

    with FakeOpenAI(str, reply=reply) as service:
        remote = RemoteRecipe(
            name="acme",
            base_url=service.url,
            model="gpt",
            api_key_env="ACME_KEY",
            usd_per_million_in=1.0,
            usd_per_million_out=2.0,
        )
        plain = Recipe()
        recipe = plain.replace(
            data=plain.data.replace(system_prompt="Be short."),
            evaluation=plain.evaluation.replace(remote=(remote,)),
        )
        (contender,) = open_plain_remote_contenders(recipe, NULL_LISTENER)
        assert contender.read_notes() == () and contender.reference_model is None
        contender.completer.complete([(Message("user", "Red or blue?"),)])
    assert contender.spec.description.endswith('the instruction "Be short." and the question')
    assert requests[0]["messages"] == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Red or blue?"},
    ]
    assert len(contender.read_notes()) == 1 and "somebody-else" in contender.read_notes()[0]
