"""`decide` from examples to verdict on a tiny model: what it prints and leaves, all of which can be
checked again."""

import contextlib
import html
import io
import json
from pathlib import Path
from typing import NamedTuple

import pytest
from door import Door

from tunesmith.cli.main import run
from tunesmith.data.read import read_dataset
from tunesmith.data.split import select_examples
from tunesmith.decision.verdict import decide as decide_by_rules
from tunesmith.evaluation.contender_answers import ContenderAnswers
from tunesmith.evaluation.harness import Task, evaluate_answers
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer
from tunesmith.records import CostReport, Decision, Evaluation, PowerStatement, Run, Split
from tunesmith.records.test_set_access import fingerprint_test_set, format_access_log
from tunesmith.runs.run_folder import RunFolder
from tunesmith.store.store import Store
from tunesmith.workflow.chat import load_chat

CONTENDERS = [
    "zero-shot",
    "zero-shot-constrained",
    "zero-shot+labels",
    "few-shot",
    "searched",
    "rag",
    "tuned",
    "tuned-constrained",
    "tuned+rag",
]
"""Where answers are labels; where they are JSON, `names_of` has the schema shown instead."""
PROMISED = {
    "run.json",
    "recipe.yaml",
    "versions.txt",
    "check.json",
    "split.json",
    "prepared.json",
    "mask.txt",
    "metrics.jsonl",
    "samples.jsonl",
    "adapter",
    "answers",
    "evaluation.json",
    "decision.json",
    "report.html",
    "report.md",
    "report.json",
    "test.json",
    "leaks.json",
    "power.json",
    "forgetting.json",
    "cost.json",
    "analysis.json",
}
VERDICTS = {"fine-tune", "prompt", "rag", "fine-tune+rag", "stop", "cannot tell"}


def names_of(data: Path) -> list[str]:
    return [
        name.replace("+labels", "+labels" if data.suffix == ".csv" else "+schema")
        for name in CONTENDERS
    ]


class Decided(NamedTuple):
    out: str
    folder: RunFolder


@pytest.fixture(scope="module", params=["labels_csv", "fields_jsonl"])
def data(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def decided(data: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Decided:
    """One `decide --json`, looked at by many tests."""
    out = tmp_path_factory.mktemp("runs")
    printed, told = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(told):
        code = run(["decide", str(data), "--json", "--out", str(out), *settings])
    assert code == 0, told.getvalue()
    (folder,) = out.iterdir()
    return Decided(printed.getvalue(), RunFolder.open(folder))


def test_the_document_has_the_promised_fields(decided: Decided, data: Path) -> None:
    document = json.loads(decided.out)
    assert set(document) == {
        "verdict",
        "reasons",
        "contenders",
        "comparisons",
        "run",
        "report",
        "winner",
        "metric",
        "required_test_examples",
        "warnings",
        "power",
        "leaks",
        "forgetting",
        "cost",
        "suggestions",
    }
    assert document["verdict"] in VERDICTS and document["reasons"]
    assert [one["name"] for one in document["contenders"]] == names_of(data)
    for contender in document["contenders"]:
        assert contender["seconds_per_request"] > 0 and contender["usd_per_1000"] > 0
        assert document["metric"] in contender["metrics"]
        for metric in contender["metrics"].values():
            assert {"value", "low", "high", "n"} <= set(metric)
            assert metric["low"] <= metric["value"] <= metric["high"] and metric["n"] == 12
    assert len(document["comparisons"]) == 36
    for comparison in document["comparisons"]:
        assert {"a", "b", "metric", "difference", "low", "high", "p"} <= set(comparison)
    assert document["run"] == decided.folder.id
    before = decided.folder.read(PowerStatement)
    assert before.is_assumed and before.comparisons == 4 and not document["power"]["is_assumed"]


def test_the_report_is_what_was_printed(decided: Decided) -> None:
    document = json.loads(decided.out)
    assert document == json.loads((decided.folder.path / "report.json").read_text())
    assert Path(document["report"]) == decided.folder.path / "report.html"
    assert document["verdict"] in (decided.folder.path / "report.md").read_text()
    page = (decided.folder.path / "report.html").read_text()
    page = page.replace("\N{NO-BREAK SPACE}", " ")  # numbers stay with their units
    assert all(html.escape(reason) in page for reason in document["reasons"])


def test_the_run_folder_holds_what_was_promised(decided: Decided, data: Path) -> None:
    assert {path.name for path in decided.folder.path.iterdir()} >= PROMISED
    assert set(decided.folder.list_contenders()) == set(names_of(data))
    assert decided.folder.read(Run).status == "finished"
    assert not [path for path in decided.folder.path.rglob("*") if path.name.startswith(".tmp")]
    kinds = [line.kind for line in decided.folder.read_metrics().records]
    assert kinds.count("validation") == 3 and kinds[0] == "validation"
    assert decided.folder.read_samples().records


def test_how_wrong_the_prediction_of_the_cost_was_is_kept_in_the_run_and_in_the_store(
    decided: Decided,
) -> None:
    run, cost = decided.folder.read(Run), decided.folder.read(CostReport)
    assert {"tuning_usd", "decide_usd"} <= run.estimate_error.keys()
    assert run.estimate_error.items() >= cost.prediction_errors.items()
    with Store.open() as store:
        assert store.get_run(run.id).run.estimate_error == run.estimate_error
    tuning, whole = (one.actual_usd for one in cost.predictions)
    asking = sum(
        one.usage.seconds for one in decided.folder.read(Evaluation).contenders if one.usage
    )
    assert whole > tuning + asking * 0.1 / 3600, "choices and general ability took their time, too"


def test_the_decision_follows_from_the_evaluation(decided: Decided) -> None:
    evaluation, decision = decided.folder.read(Evaluation), decided.folder.read(Decision)
    recipe = decided.folder.read_recipe()
    known = (decision.forgetting, decision.training_length)
    assert decide_by_rules(evaluation, recipe.requirements, recipe.usage, *known) == decision


def test_an_earlier_run_is_decided_again_the_same(decided: Decided, tunesmith: Door) -> None:
    again = tunesmith("decide", decided.folder.path, "--json")
    assert again.code == 0, again.err
    assert again.document == {
        **decided.folder.read(Decision).model_dump(mode="json"),
        "is_same": True,
    }


def test_another_bar_asks_what_if_and_other_answers_are_refused(
    decided: Decided, tunesmith: Door
) -> None:
    strict = tunesmith("decide", decided.folder.path, "--json", "--min-score", "0.99")
    assert (
        strict.code == 0
        and strict.document["requirements"]["min_score"] == 0.99
        and not strict.document["is_same"]
    )
    refused = tunesmith("decide", decided.folder.path, "--max-shots", "7")
    assert (
        refused.code == 2
        and "error[recipe/other-answers]" in refused.err
        and "evaluation" in refused.err
    )


def test_every_look_at_the_test_set_is_in_the_store_and_in_the_report(
    decided: Decided, data: Path
) -> None:
    with Store.open() as store:
        looks = store.list_test_set_accesses(fingerprint_test_set(decided.folder.read(Split).test))
    assert {look.contender for look in looks if look.run == decided.folder.id} == set(
        names_of(data)
    )
    assert (
        format_access_log(looks).split(" in ")[0] in (decided.folder.path / "report.md").read_text()
    )


def test_the_evaluation_follows_from_the_answers(decided: Decided, data: Path) -> None:
    recipe, stored = decided.folder.read_recipe(), decided.folder.read(Evaluation)
    split, examples = decided.folder.read(Split), read_dataset(data).examples
    scorer, reason = choose_scorer(
        [example.answer for example in select_examples(examples, split.train)]
    )
    test = select_examples(examples, split.test[: recipe.evaluation.max_test_examples])
    task = Task(stored.task, test, scorer, reason, stored.machine_usd_per_hour, recipe.seed)
    folder = decided.folder
    askings = [folder.read_contender(one.name) for one in stored.contenders]
    asked = [
        ContenderAnswers(one.spec, folder.read_answers(one.spec.name).records, one.usage)
        for one in askings
    ]
    assert evaluate_answers(asked, task) == stored


def test_pain_5_the_deployed_model_answers_as_the_evaluated_one(
    decided: Decided, data: Path
) -> None:
    questions = {one.id: one.question for one in read_dataset(data).examples}
    talk = load_chat(str(decided.folder.path), None, contender="tuned")
    measured = decided.folder.read_answers("tuned").records
    assert len(measured) == 12
    assert [talk.answer(questions[one.example]).text for one in measured] == [
        one.text for one in measured
    ]


def test_pain_6_answers_to_held_out_examples_are_scored_while_training(decided: Decided) -> None:
    looks = [
        line
        for line in decided.folder.read_metrics().records
        if line.kind == "validation" and line.step
    ]
    assert looks and all(line.score is not None and line.score_name for line in looks)
    assert {sample.step for sample in decided.folder.read_samples().records} == {
        line.step for line in looks
    }


def test_the_split_keeps_its_sides_apart(decided: Decided) -> None:
    split = decided.folder.read(Split)
    sides = [set(split.train), set(split.validation), set(split.test)]
    assert all(sides) and sum(map(len, sides)) == len(set.union(*sides))
