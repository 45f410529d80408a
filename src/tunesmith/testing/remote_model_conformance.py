"""What every `providers.remote_model.RemoteModel` promises, as tests, in addition to what every
completer promises. Subclass it, implement `make_completer`, let pytest collect the class:

    class TestMyProvider(RemoteModelConformance):
        def make_completer(self): return open_remote_model(RemoteRecipe(...))
"""

from tunesmith.errors import ProviderError
from tunesmith.providers.remote_model import RemoteModel
from tunesmith.records import Message, OutputConstraint, Prompt
from tunesmith.testing.completer_conformance import CompleterConformance

LABELS = ("fruit", "tool", "place")


class RemoteModelConformance(CompleterConformance):
    """The contract: answers as every completer; held to labels, only those or a refusal by its
    code; sentences on what the service did not do, and on what key it is sent.
    """

    def make_completer(self) -> RemoteModel:
        raise NotImplementedError

    def make_labeling_prompts(self) -> list[Prompt]:
        """Questions whose answers are labels."""
        return [(Message("user", f"Is an apple a fruit, a tool or a place? {n}"),) for n in "ab"]

    def test_held_to_labels_it_gives_one_of_them_or_refuses(self) -> None:
        held = self.make_completer().constrain(OutputConstraint(labels=LABELS))
        try:
            completions = held.complete(self.make_labeling_prompts())
        except ProviderError as error:
            assert error.code == "provider/form-refused"
        else:
            assert {one.text for one in completions if one.error is None} <= {*LABELS}

    def test_a_constrained_model_leaves_the_free_one_as_it_is(self) -> None:
        model, prompts = self.make_completer(), self.make_answerable_prompts()
        before = [one.text for one in model.complete(prompts)]
        model.constrain(OutputConstraint(labels=LABELS))
        assert [one.text for one in model.complete(prompts)] == before

    def test_its_notes_are_sentences(self) -> None:
        model = self.make_completer()
        model.complete(self.make_answerable_prompts())
        assert all(isinstance(note, str) and note.strip() for note in model.notes)

    def test_it_says_which_key_is_sent(self) -> None:
        told = self.make_completer().describe_key_use()
        assert told is None or told.strip()
