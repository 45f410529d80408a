"""A loaded model answers texts and conversations, greedily or sampled, wherever it came from."""

from pathlib import Path
from typing import Any

import pytest

from tunesmith.api.dataset import Dataset
from tunesmith.api.model import Model, load_model, read_prompt
from tunesmith.errors import InputError, ModelError, UsageError
from tunesmith.recipe.recipe_loader import load_recipe
from tunesmith.records import Message, TestSet
from tunesmith.runs.run_folder import RunFolder
from tunesmith.testing.completer_conformance import CompleterConformance
from tunesmith.workflow.decide import decide
from tunesmith.workflow.export import export

QUESTION = "is the boat painted red?"


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Model:
    return load_model(tiny_model, max_new_tokens=8)


@pytest.fixture(scope="module")
def decided(
    rows: list[dict[str, str]], tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    data = str(Dataset.from_list(rows).save())
    recipe = load_recipe(tiny, {"data.path": data})
    return decide(recipe, tmp_path_factory.mktemp("runs")).folder


def test_a_text_gives_a_text_and_a_list_gives_a_list(model: Model) -> None:
    one = model.generate(QUESTION)
    assert isinstance(one, str)
    turns = [{"role": "user", "content": QUESTION}]
    assert model.generate([QUESTION, turns, [Message("user", QUESTION)]]) == [one] * 3


def test_a_limit_and_a_system_prompt_change_the_answer(model: Model, tiny_model: Path) -> None:
    short, long = (model.generate(QUESTION, max_new_tokens=n) for n in (2, 16))
    assert long.startswith(short) and len(long) > len(short)
    other = load_model(tiny_model, system_prompt="Answer in one word.", max_new_tokens=8)
    turns = [
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": QUESTION},
    ]
    assert [other.generate(QUESTION)] == model.generate([turns])


def test_sampling_depends_on_its_seed_and_repeats(model: Model) -> None:
    def sample(seed: int) -> str:
        return model.generate(QUESTION, temperature=1.5, seed=seed)

    assert sample(1) == sample(1)
    assert len({sample(seed) for seed in range(6)}) > 1
    assert model.generate(QUESTION, temperature=0.0, seed=5) == model.generate(QUESTION)


def test_equal_prompts_of_a_list_get_answers_of_their_own(model: Model) -> None:
    several = model.generate([QUESTION] * 4, temperature=1.5, seed=1)
    assert len(set(several)) > 1
    assert several == model.generate([QUESTION] * 4, temperature=1.5, seed=1)


def test_a_tiny_nucleus_is_the_most_likely_answer(model: Model) -> None:
    assert model.generate(QUESTION, temperature=1.0, top_p=1e-6) == model.generate(QUESTION)


def test_a_stream_is_the_same_answer_in_pieces(model: Model) -> None:
    pieces = list(model.stream(QUESTION, temperature=1.5, seed=3))
    assert "".join(pieces).strip() == model.generate(QUESTION, temperature=1.5, seed=3)


@pytest.mark.parametrize(
    "options",
    [{"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}, {"temperature": float("nan")}],
)
def test_a_sampling_that_makes_no_sense_is_refused(model: Model, options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="temperature"):
        model.generate(QUESTION, **options)  # type: ignore[call-overload]


def test_a_prompt_beyond_the_context_is_an_error_that_says_which(model: Model) -> None:
    with pytest.raises(ModelError, match="prompt 2"):
        model.generate([QUESTION, "long " * 2000])


@pytest.mark.parametrize(
    "prompt",
    [[], {"role": "user", "content": "a"}, [{"role": "user"}], [{"role": "me", "content": "a"}]],
)
def test_what_is_no_prompt_is_refused(prompt: Any) -> None:
    with pytest.raises(UsageError, match="not-a-prompt"):
        read_prompt(prompt)


def test_a_limit_beyond_the_context_is_refused(tiny_model: Path) -> None:
    with pytest.raises(InputError, match="too-long"):
        load_model(tiny_model, max_new_tokens=5000)


def test_a_run_answers_as_it_was_measured(decided: RunFolder) -> None:
    for name in ("few-shot", "tuned", "zero-shot-constrained"):
        stored = decided.read_answers(name).records[:4]
        questions = {one.id: one.question for one in decided.read(TestSet).examples}
        loaded = load_model(decided, contender=name)
        assert loaded.name == f"{name} of {decided.id}"
        said = loaded.generate([questions[one.example] for one in stored])
        assert said == [one.text for one in stored]


def test_a_contender_that_picks_labels_is_not_sampled(decided: RunFolder) -> None:
    loaded = load_model(decided, contender="zero-shot-constrained")
    with pytest.raises(UsageError, match="not-sampled"):
        loaded.generate(QUESTION, temperature=1.0)


@pytest.mark.parametrize("name", ["few-shot", "rag", "tuned", "zero-shot-constrained"])
def test_an_exported_folder_answers_as_the_run_did(
    decided: RunFolder, name: str, tmp_path: Path
) -> None:
    export(str(decided.path), tmp_path / "exported", name)
    stored = decided.read_answers(name).records
    questions = {one.id: one.question for one in decided.read(TestSet).examples}
    loaded = load_model(tmp_path / "exported")
    assert loaded.name == f"{name} of exported"
    assert loaded.generate([questions[one.example] for one in stored]) == [
        one.text for one in stored
    ]


def test_a_damaged_exported_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "prompt.json").write_text("{}")
    with pytest.raises(ModelError, match="damaged-export"):
        load_model(tmp_path)


class TestModelAsCompleter(CompleterConformance):
    @pytest.fixture(autouse=True)
    def load(self, model: Model) -> None:
        self.model = model

    def make_completer(self) -> Model:
        return self.model
