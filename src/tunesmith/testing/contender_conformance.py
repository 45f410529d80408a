"""What every kind of contender promises, as tests. Subclass it, implement `get_kind`, let pytest
collect the class:

    class TestMyKind(ContenderConformance):
        def get_kind(self): return get_contender_kind("my-kind")
"""

from pathlib import Path

from tunesmith.contenders.candidate_selection import CandidateSelector
from tunesmith.contenders.contender_factory import ContenderFactory, PromptFindings
from tunesmith.contenders.contender_models import ContenderModel
from tunesmith.evaluation.harness import RunnableContender
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer
from tunesmith.progress_listener import NULL_LISTENER
from tunesmith.providers.fake_completer import FakeCompleter
from tunesmith.records import Example, Message, OutputConstraint
from tunesmith.records.contender_kinds import (
    CONTENDER_KINDS,
    ContenderKind,
    get_contender_kind,
    list_contender_kinds,
)
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.signals import StopSignal
from tunesmith.testing.resolved_recipes import resolve_test_recipe

NUM_EXAMPLES = 30
LABELS = ("fruit", "tool", "place")


class ContenderConformance:
    """The contract: a place of its own on the ladder, and contenders with the planned names that
    answer every question, from train examples alone.
    """

    def get_kind(self) -> ContenderKind:
        raise NotImplementedError

    def make_examples(self) -> list[Example]:
        """At least 20 questions with their answers."""
        return [
            Example(
                number,
                (
                    Message("user", f"question {number} about a {LABELS[number % 3]}"),
                    Message("assistant", LABELS[number % 3]),
                ),
            )
            for number in range(NUM_EXAMPLES)
        ]

    def make_model(self) -> ContenderModel:
        """A model that always answers `fruit`."""
        model = "tuned" if self.get_kind().is_trained else "base"
        fake = FakeCompleter(lambda prompt: LABELS[0])
        return ContenderModel("", "a model", fake, model=model)  # type: ignore[arg-type]

    def build(self, folder: Path) -> list[RunnableContender]:
        """The contenders of this kind."""
        examples, kind = self.make_examples(), self.get_kind()
        third = len(examples) // 3
        scorer, _ = choose_scorer([example.answer for example in examples])
        selector = CandidateSelector(
            examples[third : 2 * third],
            scorer,
            0,
            NULL_LISTENER,
            StopSignal(),
            RunFolder.create(folder, "run"),
        )
        factory = ContenderFactory(
            resolve_test_recipe(),
            examples[: 2 * third],
            examples[2 * third :],
            OutputConstraint(labels=LABELS),
            selector,
        )
        build = CONTENDER_KINDS.import_part(kind.name, kind.build)
        return list(build(factory, self.make_model(), PromptFindings()))

    def test_it_is_found_by_its_name(self) -> None:
        assert get_contender_kind(self.get_kind().name) == self.get_kind()

    def test_no_other_kind_has_its_rank_or_its_names(self) -> None:
        kind = self.get_kind()
        others = [other for other in list_contender_kinds() if other.name != kind.name]
        assert kind.rank not in [other.rank for other in others]
        own = {name for planned in kind.contenders for name in planned.names}
        assert own and not own & {
            name for other in others for planned in other.contenders for name in planned.names
        }

    def test_the_contenders_are_those_that_were_planned(self, tmp_path: Path) -> None:
        kind = self.get_kind()
        planned = [name for one in kind.contenders for name in one.names]
        built = [contender.spec for contender in self.build(tmp_path)]
        assert built and {spec.name for spec in built} <= {*planned}
        assert len({spec.name for spec in built}) == len(built)
        assert {spec.kind for spec in built} == {kind.name}
        assert all(spec.description for spec in built)

    def test_every_question_is_answered_in_its_order(self, tmp_path: Path) -> None:
        prompts = [example.prompt for example in self.make_examples()]
        for contender in self.build(tmp_path):
            completions = contender.completer.complete(prompts)
            assert len(completions) == len(prompts)
            assert not [one.error for one in completions if one.error]
            backwards = contender.completer.complete(prompts[::-1])
            assert [one.text for one in backwards[::-1]] == [one.text for one in completions]
