"""Which driver asks a remote model: the scheme of its URL decides."""

from pathlib import Path

import pytest

from tunesmith.errors import RecipeError
from tunesmith.providers.openai_compatible import RemoteCompleter
from tunesmith.providers.remote_model import COMPLETERS, get_provider_name, open_remote_model
from tunesmith.records import Message, OutputConstraint, RemoteRecipe
from tunesmith.testing.fake_remote_model import FakeRemoteModel
from tunesmith.testing.remote_model_conformance import LABELS, RemoteModelConformance


def remote_at(url: str) -> RemoteRecipe:
    return RemoteRecipe(name="mine", model="m", base_url=url)


class TestFakeRemoteModel(RemoteModelConformance):
    def make_completer(self) -> FakeRemoteModel:
        return FakeRemoteModel()

    def test_what_cannot_be_answered_is_a_completion_with_an_error(self) -> None:
        """The fake answers everything."""
        (completion,) = self.make_completer().complete([self.make_unanswerable_prompt()])
        assert completion.error is None


def test_a_fake_that_cannot_be_constrained_refuses_by_code() -> None:
    model = FakeRemoteModel(is_constrainable=False).constrain(OutputConstraint(labels=LABELS))
    with pytest.raises(Exception, match="form-refused"):
        model.complete([(Message("user", "fruit?"),)])
    assert model.complete([]) == []


def test_http_and_https_are_the_openai_protocol() -> None:
    for url in ("https://api.example.com/v1", "HTTP://localhost:8000"):
        model = open_remote_model(remote_at(url))
        assert type(model) is RemoteCompleter
        held = model.constrain(OutputConstraint(labels=LABELS))
        assert isinstance(held, RemoteCompleter) and held.health is model.health


def test_a_name_before_a_plus_sign_is_the_provider() -> None:
    assert get_provider_name(remote_at("Other+https://api.example.com")) == "other"


def test_an_unknown_provider_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"(?s)unknown-provider.*'other'.*known: https, http"):
        open_remote_model(remote_at("other+https://api.example.com"))
    with pytest.raises(RecipeError, match=r"(?s)bad-url.*http"):
        open_remote_model(remote_at("localhost:8000"))


def test_a_provider_of_a_plugin_is_found_by_its_scheme(example_plugin: Path) -> None:
    assert list(COMPLETERS) == ["https", "http", "echo"]
    (completion,) = open_remote_model(remote_at("echo://localhost")).complete(
        [(Message("user", "a red boat"),)]
    )
    assert completion.text == "a red boat"
