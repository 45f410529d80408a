"""Remote models: who takes part, what each is charged, and what is told beside its answers."""

from collections.abc import Iterator
from typing import Any

import pytest

from tunesmith.contenders.contender_models import get_remote_price, open_remote_models
from tunesmith.contenders.qualified_judge import JudgeSetup
from tunesmith.errors import RecipeError
from tunesmith.evaluation.contender_answers import ContenderAnswers
from tunesmith.evaluation.judge.caching_completer import CachingCompleter
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer
from tunesmith.providers.fake_completer import FakeCompleter
from tunesmith.records import ContenderSpec, Example, Message, Recipe, RemoteRecipe, TokenPrice
from tunesmith.testing.fake_openai import FakeOpenAI, Reply, make_chat_completion, make_error_reply
from tunesmith.testing.recording_listener import RecordingListener

QUESTION = [Example(1, (Message("user", "One?"), Message("assistant", "a"))).prompt]


@pytest.fixture
def service() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(str.upper) as fake:
        yield fake


def remote(name: str, url: str, usd: float | None = 2.0) -> RemoteRecipe:
    return RemoteRecipe(
        name=name, base_url=url, model="fake", usd_per_million_in=usd, usd_per_million_out=usd
    )


def build_recipe(*remotes: RemoteRecipe, **changes: Any) -> Recipe:
    return Recipe.model_validate({"evaluation": {"remote": remotes}, **changes})


def test_a_remote_judge_is_no_contender_and_is_not_asked_a_question(service: FakeOpenAI) -> None:
    both = build_recipe(
        remote("acme", service.url), remote("referee", service.url), judge={"model": "referee"}
    )
    assert [one.name for one in open_remote_models(both, QUESTION, None, RecordingListener())] == [
        "acme"
    ]
    assert len(service.requests) == 1


def test_which_key_goes_where_is_told_before_the_first_request(
    service: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-123456789")
    notes = RecordingListener()
    open_remote_models(build_recipe(remote("acme", service.url)), QUESTION, None, notes)
    assert notes.messages[0] == "acme: sends the value of $OPENAI_API_KEY to 127.0.0.1"


def test_what_a_service_would_not_do_is_told_beside_its_answers(service: FakeOpenAI) -> None:
    def reply(request: dict[str, Any]) -> Reply:
        if "temperature" in request:
            return make_error_reply(400, "Unsupported value", param="temperature")
        return Reply(body={**make_chat_completion("A"), "usage": None})

    service.reply = reply
    [acme] = open_remote_models(
        build_recipe(remote("acme", service.url)), QUESTION, None, RecordingListener()
    )
    assert [note.split(";")[0].split(",")[0] for note in acme.notes] == [
        "The service does not support temperature",
        "The service reports no plausible token counts",
    ]


def test_a_service_that_does_not_answer_the_first_question_is_told(service: FakeOpenAI) -> None:
    service.reply = lambda _: make_error_reply(400, "max_tokens is too large")
    listener = RecordingListener()
    assert open_remote_models(build_recipe(remote("acme", service.url)), QUESTION, None, listener)
    assert listener.messages == [
        "test request to acme failed: status 400, 'max_tokens is too large'"
    ]


def test_a_free_server_on_this_machine_is_paid_by_the_hour() -> None:
    near, far = "http://localhost:8000/v1", "https://models.example.com/v1"
    assert get_remote_price(remote("near", near, 0.0), Recipe()) is None
    for url, usd in ((near, 2.0), (far, 0.0)):
        price = get_remote_price(remote("acme", url, usd), Recipe())
        assert price is not None and price.usd_per_million_out == usd
    with pytest.raises(RecipeError, match="no-price"):
        get_remote_price(remote("acme", far, None), Recipe())


def test_judging_has_its_bill() -> None:
    """By tokens where a provider judges, by the hour where this machine does; nothing without a
    judge."""
    judge = CachingCompleter(FakeCompleter({"?": "a b c"}))
    judge.complete([(Message("user", "?"),)])
    judge.usage = judge.usage.model_copy(
        update={"tokens_in": 2_000_000, "tokens_out": 1_000_000, "seconds": 1800.0}
    )
    price = TokenPrice(usd_per_million_in=1.0, usd_per_million_out=4.0, source="", date="")
    scorer = choose_scorer(["a", "b"] * 9)[0]
    earlier = [
        ContenderAnswers(
            ContenderSpec(name="a", kind="zero-shot", description=""), [], None, judge.usage
        )
    ]

    def bill(judging: JudgeSetup, recalled: list[ContenderAnswers]) -> float:
        return judging.compute_usd(judging.sum_usage(recalled))

    assert bill(JudgeSetup(scorer), []) == 0.0
    assert bill(JudgeSetup(scorer, None, judge, price, 0.5), []) == pytest.approx(6.0)
    assert bill(JudgeSetup(scorer, None, judge, None, 0.5), []) == pytest.approx(0.25)
    assert bill(JudgeSetup(scorer, None, judge, None, 0.5), earlier) == pytest.approx(0.5)
