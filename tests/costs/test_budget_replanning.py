"""A decision keeps its time, however wrong its estimate was: what is left is planned again."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tunesmith.costs.budget_replanning import (
    MIN_MINUTES,
    MIN_TEST_EXAMPLES,
    MINUTES,
    TEST_LIMIT,
    BudgetClock,
    BudgetReplanner,
    UnlimitedTime,
)
from tunesmith.evaluation.harness import RunnableContender
from tunesmith.providers.fake_completer import FakeCompleter
from tunesmith.records import BudgetPlan, ContenderSpec, KindWork, Recipe
from tunesmith.runs.run_folder import RunFolder
from tunesmith.testing.recording_listener import RecordingListener

PLAN = BudgetPlan(
    budget_seconds=600.0,
    open_keys=(MINUTES, TEST_LIMIT),
    test_examples=200,
    training_minutes=2.0,
    test_limit=None,
    work={
        "zero-shot": KindWork(choice_seconds=20.0, test_seconds=60.0, choices=2),
        "few-shot": KindWork(choice_seconds=40.0, test_seconds=40.0, choices=2),
        "rag": KindWork(choice_seconds=60.0, test_seconds=30.0, choices=1),
        "tuned": KindWork(choice_seconds=10.0, test_seconds=40.0, choices=1),
        "tuned+rag": KindWork(choice_seconds=30.0, test_seconds=30.0, choices=1),
    },
    probe_seconds=20.0,
    ending_seconds=10.0,
    pass_seconds=40.0,
    training_seconds=120.0,
    max_training_seconds=120.0,
)
"""480 s of work in 600 s: 360 s of contenders, 40 s of general ability, 120 s of tuning."""
CONTENDERS = {
    "zero-shot": ("zero-shot", 0.0, 0.4),
    "zero-shot-constrained": ("zero-shot", 0.5, 0.3),
    "zero-shot+labels": ("zero-shot", 0.5, 0.3),
    "few-shot": ("few-shot", 0.5, 0.5),
    "searched": ("few-shot", 0.5, 0.5),
    "rag": ("rag", 1.0, 1.0),
    "tuned": ("tuned", 0.0, 0.5),
    "tuned-constrained": ("tuned", 1.0, 0.5),
    "tuned+rag": ("tuned+rag", 1.0, 1.0),
}
"""Contender -> its kind and its shares of the kind's choice and test seconds."""


@dataclass
class World:
    """A decision whose steps take `slower` times what was expected, by a clock of its own."""

    folder: RunFolder
    slower: dict[str, float] = field(default_factory=dict)
    plan: BudgetPlan = PLAN
    seconds: float = 0.0
    size: int = 200
    asked: list[tuple[str, int]] = field(default_factory=list)
    notes: RecordingListener = field(default_factory=RecordingListener)
    trained_seconds: float = 0.0

    def create(self, plan: BudgetPlan | None = None, **given: bool) -> BudgetReplanner:
        """The pacer of a session."""
        plan = plan or self.plan
        clock = BudgetClock(
            plan.budget_seconds, lambda: self.seconds, earlier_seconds=plan.spent_seconds
        )
        return BudgetReplanner(plan, clock, self.folder, self.notes, self._limit, **given)

    def _limit(self, size: int) -> None:
        self.size = size

    def _factor(self, name: str) -> float:
        return self.slower.get(name, self.slower.get("all", 1.0))

    def build(self, pacer: BudgetReplanner, *, trained: bool) -> Iterator[RunnableContender]:
        """As the contender factory: a choice is made when its contender's turn comes."""
        for name, (kind, choice, _) in CONTENDERS.items():
            spec = ContenderSpec(name=name, kind=kind, description="")
            if spec.traits.is_trained != trained:
                continue
            if choice:
                is_over = pacer.start_choice(kind)
                work = self.plan.work[kind]
                began, needed = self.seconds, self._factor(kind) * choice * work.choice_seconds
                while self.seconds < began + needed and not is_over():
                    self.seconds += 0.5
                if self.seconds < began + needed:
                    pacer.record_shortened(name, (self.seconds - began) / needed)
            yield RunnableContender(spec, FakeCompleter({}))

    def ask(self, pacer: BudgetReplanner, *, trained: bool) -> None:
        """As the runner: every contender answers the test examples."""
        for one in pacer.pace(self.build(pacer, trained=trained)):
            kind, _, share = CONTENDERS[one.spec.name]
            work, part = self.plan.work[kind], self.size / self.plan.test_examples
            self.seconds += self._factor(kind) * share * work.test_seconds * part
            self.asked.append((one.spec.name, self.size))

    def measure_probe(self) -> None:
        """General ability, once."""
        self.seconds += self._factor("probe") * self.plan.probe_seconds

    def train(self, pacer: BudgetReplanner) -> None:
        """The tuning, which keeps the minutes that it is given."""
        minutes = pacer.choose_training_minutes()
        self.trained_seconds = self.plan.training_seconds if minutes is None else 60 * minutes
        self.seconds += self.trained_seconds
        pacer.finish_training()

    def run(self) -> BudgetReplanner:
        """The whole decision."""
        pacer = self.create()
        self.ask(pacer, trained=False)
        self.measure_probe()
        pacer.record_probe()
        self.train(pacer)
        self.ask(pacer, trained=True)
        self.measure_probe()
        self.seconds += self._factor("ending") * self.plan.ending_seconds
        return pacer


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, "decision")


def test_an_estimate_that_is_right_changes_nothing_but_the_minutes(folder: RunFolder) -> None:
    world = World(folder)
    pacer = world.run()
    assert [one.key for one in pacer.plan.changes] == [], "two minutes are the default passes"
    assert world.trained_seconds == 120 and world.seconds == pytest.approx(530)
    assert {size for _, size in world.asked} == {200} and len(world.asked) == 9


@pytest.mark.parametrize("slower", [1.0, 1.3, 2.0, 3.0, 5.0])
def test_a_decision_ends_in_its_time_however_slow_the_machine_is(
    folder: RunFolder, slower: float
) -> None:
    world = World(folder, {"all": slower})
    world.run()
    assert world.seconds <= 1.2 * PLAN.budget_seconds


@pytest.mark.parametrize("kind", ["zero-shot", "few-shot", "rag", "tuned+rag"])
def test_one_kind_that_takes_ten_times_as_long_does_not_break_the_time(
    folder: RunFolder, kind: str
) -> None:
    """How much to retrieve was chosen in half of a decision's time, for a tenth that was
    expected."""
    world = World(folder, {kind: 10.0})
    pacer = world.run()
    assert world.seconds <= 1.2 * PLAN.budget_seconds
    assert any(one.startswith(kind) for one in pacer.plan.shortened) or pacer.plan.left_out


def test_slow_baselines_leave_less_time_for_tuning_and_quick_ones_more(folder: RunFolder) -> None:
    plan = PLAN.replace(max_training_seconds=400.0)
    found = {}
    for slower in (0.5, 1.0, 1.15):
        world = World(folder, {"all": slower}, plan)
        world.run()
        found[slower] = world.trained_seconds
        assert world.seconds <= PLAN.budget_seconds
    assert found[0.5] > found[1.0] > found[1.15] >= PLAN.pass_seconds
    assert any("new plan after the baselines: training.minutes" in n for n in world.notes.messages)


def test_all_contenders_after_a_cut_answer_the_same_number_of_examples_and_it_is_recorded(
    folder: RunFolder,
) -> None:
    world = World(folder, {"all": 3.0})
    pacer = world.run()
    sizes = [size for _, size in world.asked]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == 200
    assert world.size == pacer.test_size == sizes[-1] >= MIN_TEST_EXAMPLES
    changes = [one for one in pacer.plan.changes if one.key == TEST_LIMIT]
    assert changes[0].before is None and changes[-1].value == world.size
    assert folder.read(BudgetPlan).changes == pacer.plan.changes
    recipe = pacer.plan.apply_changes(Recipe())
    assert recipe.evaluation.max_test_examples == world.size
    assert pacer.plan.undo_changes(recipe).evaluation.max_test_examples is None


def test_keys_that_the_user_set_stay_as_they_are(folder: RunFolder) -> None:
    world = World(folder, {"all": 3.0}, PLAN.replace(open_keys=()))
    pacer = world.run()
    assert pacer.plan.changes == () and {size for _, size in world.asked} == {200}
    assert world.trained_seconds == PLAN.training_seconds


def test_the_bare_models_are_asked_even_when_no_time_is_left(folder: RunFolder) -> None:
    world = World(folder, {"all": 30.0})
    pacer = world.run()
    names = [name for name, _ in world.asked]
    assert "zero-shot" in names and "tuned" in names
    assert set(pacer.plan.left_out) == set(CONTENDERS) - set(names) and pacer.plan.left_out
    assert world.trained_seconds == 60 * MIN_MINUTES
    assert any("skipping " in line for line in world.notes.messages)
    assert any("will not cover fine-tuning" in line for line in world.notes.messages)


def test_an_interrupted_decision_continues_with_its_numbers_and_its_time(folder: RunFolder) -> None:
    """The time between the sessions does not count, that of the sessions does."""
    world = World(folder, {"all": 3.0})
    first = world.create()
    world.ask(first, trained=False)
    world.measure_probe()
    first.record_probe()
    minutes = first.choose_training_minutes()
    spent, size = first.plan.spent_seconds, world.size
    assert size < 200 and minutes is not None
    for name, _ in world.asked:  # as the runner stores them
        (folder.path / "answers").mkdir(exist_ok=True)
        (folder.path / "answers" / f"{name}.jsonl").touch()
    world.seconds += 100_000
    again = World(folder, {"all": 3.0}, seconds=world.seconds)
    began = again.seconds
    resumed = again.create(folder.read(BudgetPlan))
    assert resumed.clock.spent == pytest.approx(spent) and again.size == size, (
        "before anything is asked"
    )
    resumed.record_probe()
    assert resumed.choose_training_minutes() == minutes
    again.seconds += 60 * minutes
    resumed.finish_training()
    again.ask(resumed, trained=True)
    again.measure_probe()
    assert spent + again.seconds - began <= 1.2 * PLAN.budget_seconds


def test_contenders_that_answered_in_an_earlier_session_count_once(folder: RunFolder) -> None:
    world = World(folder)
    first = world.create()
    world.ask(first, trained=False)
    for name, _ in world.asked:
        (folder.path / "answers").mkdir(exist_ok=True)
        (folder.path / "answers" / f"{name}.jsonl").touch()
    resumed = World(folder).create(folder.read(BudgetPlan), is_tuned=True)
    specs = [
        ContenderSpec(name=name, kind=CONTENDERS[name][0], description="")
        for name, _ in world.asked
    ]
    assert len(list(resumed.pace(RunnableContender(one, FakeCompleter({})) for one in specs))) == 6
    assert resumed.plan.spent_by_kind == first.plan.spent_by_kind
    assert resumed.plan.changes == ()


def test_without_a_time_nothing_is_limited() -> None:
    pacer = UnlimitedTime()
    assert not pacer.start_choice("rag")()
    assert pacer.choose_training_minutes() is None
    one = RunnableContender(
        ContenderSpec(name="rag", kind="rag", description=""), FakeCompleter({})
    )
    assert list(pacer.pace([one])) == [one]
