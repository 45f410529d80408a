"""A script trains, evaluates and decides on data in memory, and gets one kind of result."""

import json
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import tunesmith
from tunesmith.errors import DataError, InputError, RunError, UsageError
from tunesmith.events import Event, Finished, MetricLogged, StageStarted, Started
from tunesmith.records import Completion, ProgressCallback, Prompt

Rows = list[dict[str, str]]


def answer_last_word(question: str) -> str:
    """The right answer to every question of the small task."""
    return question.split()[-1]


def answer_red(question: str) -> str:
    return "red"


def score_first_letter(answer: str, reference: str) -> float:
    return float(answer[:1] == reference[:1])


class Echo:
    """A completer that answers every prompt with its own text."""

    name = "echo"

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        return [Completion(prompt[-1].content, 7, 3, 0.0) for prompt in prompts]


def test_train_takes_rows_and_changes_and_returns_a_result(
    rows: Rows, tiny: dict[str, Any], tmp_path: Path
) -> None:
    events: list[Event] = []
    result = tunesmith.train(tiny, rows, out=tmp_path, seed=3, callbacks=[events.append])
    assert result.run.status == "finished" and result.recipe.seed == 3
    assert result.evaluation is None and result.decision is None
    assert (result.path / "adapter/adapter_model.safetensors").is_file()
    assert isinstance(tunesmith.load_model(result).generate("1 apple is painted red"), str)
    [started] = [one for one in events if isinstance(one, Started)]
    assert (started.command, started.folder) == ("train", result.path)
    assert started.recipe == result.recipe
    steps = [
        one.step for one in events if isinstance(one, MetricLogged) and "train/loss" in one.values
    ]
    assert steps == list(range(1, result.run.result.steps + 1))  # type: ignore[union-attr]
    assert any(isinstance(one, StageStarted) and one.title == "tuning" for one in events)
    assert isinstance(events[-1], Finished) and events[-1].outcome == "finished"
    assert events[-1].run == result.run and sum(isinstance(one, Finished) for one in events) == 1


def test_a_run_on_rows_is_repeated_from_its_recipe_after_the_rows_are_gone(
    rows: Rows, tiny: dict[str, Any], tmp_path: Path
) -> None:
    first = tunesmith.train(tiny, tunesmith.Dataset.from_list(rows, "colors"), out=tmp_path)
    again = tunesmith.train(first.path / "recipe.yaml", out=tmp_path)
    assert again.run.dataset == first.run.dataset and again.run.recipe == first.run.recipe
    assert again.run.adapter_files == first.run.adapter_files
    assert "-colors-" in first.run.id


def test_the_same_rows_in_a_file_give_the_same_weights(
    rows: Rows, tiny: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(
        "prompt,completion\n" + "".join(f"{r['prompt']},{r['completion']}\n" for r in rows)
    )
    one = tunesmith.train(tiny, rows, out=tmp_path / "runs")
    other = tunesmith.train(tiny, file, out=tmp_path / "runs")
    assert one.run.split == other.run.split and one.run.prepared == other.run.prepared
    assert one.run.adapter_files == other.run.adapter_files


def test_evaluate_compares_models_functions_and_completers_on_the_same_examples(
    rows: Rows, tiny_model: Path
) -> None:
    result = tunesmith.evaluate(
        {"base": str(tiny_model), "rules": answer_last_word, "echo": Echo()},
        rows,
        evaluation={"max_new_tokens": 4, "max_test_examples": 10},
    )
    assert result.folder is None and result.evaluation is not None
    names = [one.name for one in result.evaluation.contenders]
    assert names == ["base", "rules", "echo"]
    rules = result.evaluation.get_contender("rules")
    assert rules.metrics[result.evaluation.metric].value == 1.0
    assert rules.description.startswith("the Python function ") and rules.kind == "outside"
    assert {(one.a, one.b) for one in result.evaluation.comparisons} == {
        ("base", "rules"),
        ("base", "echo"),
        ("rules", "echo"),
    }
    assert len(result.evaluation.examples) == 10


def test_one_function_is_enough_and_its_answers_are_kept(rows: Rows, tmp_path: Path) -> None:
    result = tunesmith.evaluate(answer_red, rows, out=tmp_path)
    assert result.evaluation is not None
    [red] = result.evaluation.contenders
    expected = sum(row["completion"] == "red" for row in rows) / len(rows)
    assert red.name == "answer_red"
    assert red.metrics[result.evaluation.metric].value == pytest.approx(expected)
    assert {one.text for one in result.read_answers("answer_red")} == {"red"}


@pytest.mark.parametrize(
    "scorer", [score_first_letter, lambda answer, reference, question: answer[0] == reference[0]]
)
def test_a_function_scores(scorer: Any, rows: Rows) -> None:
    result = tunesmith.evaluate({"rules": lambda q: q.split()[-1][0]}, rows, scorer=scorer)
    assert result.evaluation is not None
    name = "score" if scorer.__name__ == "<lambda>" else "score_first_letter"
    assert (result.evaluation.scorer, result.evaluation.metric) == (f"python:{name}", name)
    assert result.evaluation.get_contender("rules").metrics[name].value == 1.0


def test_a_scorer_object_and_a_scorers_name_are_taken_too(rows: Rows) -> None:
    references = [row["completion"] for row in rows]
    scorer, _ = tunesmith.choose_scorer(references, "exact")
    by_object = tunesmith.evaluate(answer_red, rows, scorer=scorer).evaluation
    by_name = tunesmith.evaluate(answer_red, rows, scorer="exact").evaluation
    assert by_object is not None and by_name is not None
    assert by_object.scorer == by_name.scorer == "exact"
    assert by_object.contenders[0].metrics == by_name.contenders[0].metrics


def test_a_function_that_fails_on_one_question_has_no_answer_to_it(rows: Rows) -> None:
    def fail_on_boats(question: str) -> str:
        if "boat" in question:
            raise KeyError("boat")
        return "red"

    result = tunesmith.evaluate(fail_on_boats, rows)
    assert result.evaluation is not None
    quantity = result.evaluation.contenders[0].metrics[result.evaluation.metric]
    assert quantity.n_failed == sum("boat" in row["prompt"] for row in rows) > 0


def test_a_function_that_always_fails_is_an_error_that_shows_the_first(rows: Rows) -> None:
    def broken(question: str) -> str:
        return question.no_such_method()  # type: ignore[attr-defined, no-any-return]

    with pytest.raises(UsageError, match="no_such_method"):
        tunesmith.evaluate(broken, rows)


def test_a_function_of_one_question_is_not_given_half_a_conversation() -> None:
    chats = [
        {
            "messages": [
                {"role": "user", "content": f"{n}?"},
                {"role": "assistant", "content": "yes"},
                {"role": "user", "content": "sure?"},
                {"role": "assistant", "content": "yes"},
            ]
        }
        for n in range(24)
    ]
    with pytest.raises(UsageError, match="needs-messages"):
        tunesmith.evaluate(answer_red, chats)
    whole = tunesmith.FunctionCompleter(lambda turns: turns[1]["content"], takes="messages")
    result = tunesmith.evaluate({"whole": whole}, chats)
    assert result.evaluation is not None
    assert result.evaluation.contenders[0].metrics[result.evaluation.metric].value == 1.0


def test_decide_compares_a_contender_of_the_script_like_every_other(
    rows: Rows, tiny: dict[str, Any], tmp_path: Path
) -> None:
    events: list[Event] = []
    result = tunesmith.decide(
        tiny,
        rows,
        extra_contenders={"rules": answer_last_word},
        out=tmp_path,
        callbacks=[events.append],
    )
    assert result.evaluation is not None and result.decision is not None
    names = {one.name for one in result.evaluation.contenders}
    assert {"rules", "zero-shot", "few-shot", "rag", "tuned"} <= names
    against = {frozenset((one.a, one.b)) for one in result.evaluation.comparisons}
    assert all(frozenset(("rules", name)) in against for name in names - {"rules"})
    assert result.decision.winner == "rules" and result.decision.verdict == "stop"
    assert result.document["verdict"] == "stop" and result.reports[0].is_file()
    assert result.run.reproducibility_key["contender rules"]
    finished = events[-1]
    assert isinstance(finished, Finished) and finished.summary["winner"] == "rules"
    with pytest.raises(RunError, match="finished"):
        tunesmith.resume(result, extra_contenders={"rules": answer_last_word})


def test_a_run_with_a_contender_of_a_script_is_resumed_by_the_script(
    rows: Rows, tiny: dict[str, Any], tmp_path: Path
) -> None:
    def stop_before_tuning(event: Event) -> None:
        if isinstance(event, StageStarted) and event.title == "tuning":
            raise KeyError("stopped by a callback")

    own = {"rules": answer_last_word}
    with pytest.raises(KeyError, match="stopped by a callback"):
        tunesmith.decide(
            tiny, rows, extra_contenders=own, out=tmp_path, callbacks=[stop_before_tuning]
        )
    [folder] = tmp_path.iterdir()
    with pytest.raises(RunError, match="extra_contenders") as caught:
        tunesmith.resume(folder, allow_drift=True)
    assert caught.value.code == "run/needs-script"
    with pytest.raises(RunError, match="contender rules"):
        tunesmith.resume(folder, extra_contenders={"rules": answer_red})
    result = tunesmith.resume(folder, extra_contenders=own)
    assert result.decision is not None and result.decision.winner == "rules"


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ({"few-shot": answer_red}, "usage/same-name"),
        ([answer_red, answer_red], "usage/same-name"),
        ([3], "usage/not-a-contender"),
    ],
)
def test_a_contender_that_cannot_take_part_is_refused(
    extra: Any, code: str, rows: Rows, tiny: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        tunesmith.decide(tiny, rows, extra_contenders=extra, out=tmp_path)
    assert caught.value.code == code and not any(tmp_path.iterdir())


@pytest.mark.parametrize("scorer", [3, lambda answer: 1.0])
def test_what_cannot_score_is_refused(scorer: Any, rows: Rows) -> None:
    with pytest.raises(UsageError) as caught:
        tunesmith.evaluate(answer_red, rows, scorer=scorer)
    assert caught.value.code == "usage/not-a-scorer"


def test_check_and_estimate_take_rows(rows: Rows, tiny: dict[str, Any]) -> None:
    report = tunesmith.check([*rows, rows[0]], model=tiny["model"])
    assert report.dataset.examples == 97
    assert "data/duplicate" in {one.code for one in report.problems}
    estimate = tunesmith.estimate(tiny, rows)
    assert estimate.method == "quick" and estimate.steps == 9


def test_a_failed_command_ends_with_an_event_and_a_typed_error(tiny: dict[str, Any]) -> None:
    events: list[Event] = []
    with pytest.raises(DataError):
        tunesmith.train(tiny, "no-such-file.jsonl", callbacks=[events.append])
    assert isinstance(events[-1], Finished) and events[-1].outcome == "failed"
    assert isinstance(events[-1].error, DataError)
    with pytest.raises(InputError, match=r"training\.epochs"):
        tunesmith.train(tiny, "a.jsonl", training={"epoch": 1})


def test_a_thread_trains_and_installs_no_signal_handler(
    rows: Rows, tiny: dict[str, Any], tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[Any] = []
    done: list[tunesmith.Result] = []

    def watch(event: Event) -> None:
        seen.append(signal.getsignal(signal.SIGINT))

    def work() -> None:
        done.append(tunesmith.train(tiny, rows, out=tmp_path, callbacks=[watch]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done[0].run.status == "finished" and set(seen) == {before}


def test_ctrl_c_in_a_script_is_an_interrupted_with_the_way_to_resume(
    rows: Rows, tiny: dict[str, Any], tmp_path: Path
) -> None:
    script = textwrap.dedent(
        """
        import json, os, signal, sys, tunesmith
        from tunesmith.events import MetricLogged
        recipe, rows, out = json.loads(sys.stdin.read())
        handler = signal.getsignal(signal.SIGINT)
        def press(event):
            if isinstance(event, MetricLogged):
                os.kill(os.getpid(), signal.SIGINT)
        try:
            tunesmith.train(recipe, rows, out=out, callbacks=[press])
        except tunesmith.Interrupted as stopped:
            print(stopped.hint)
        print(signal.getsignal(signal.SIGINT) is handler)
        [run] = os.scandir(out)
        print(tunesmith.resume(run.path).run.status)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps([tiny, rows, str(tmp_path / "runs")]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    hint, is_restored, status = done.stdout.splitlines()
    assert "tunesmith resume" in hint and is_restored == "True" and status == "finished"
