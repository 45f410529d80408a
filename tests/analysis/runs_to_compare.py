"""Finished runs without a model: everything that a comparison reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tunesmith.analysis.run_diff import ComparableRun
from tunesmith.evaluation.contender_answers import ContenderAnswers
from tunesmith.evaluation.harness import Task, evaluate_answers
from tunesmith.evaluation.scorers.label import LabelScorer
from tunesmith.records import (
    Answer,
    CheckReport,
    ContenderRecord,
    ContenderSpec,
    DatasetInfo,
    Example,
    Machine,
    Message,
    ModelIdentity,
    Recipe,
    Run,
    Split,
)
from tunesmith.runs.run_folder import RunFolder


def questions(count: int, start: int = 0) -> list[Example]:
    """Questions that are all answered with yes."""
    return [
        Example(
            line=i + 1, messages=(Message("user", f"is {i} a number?"), Message("assistant", "yes"))
        )
        for i in range(start, start + count)
    ]


def facts(
    right: Mapping[str, Sequence[bool]],
    test: Sequence[Example],
    name: str,
    recipe: Recipe | None = None,
    model: str = "m",
    content: str = "c" * 64,
    cores: int = 2,
) -> ComparableRun:
    """A run whose contenders answered these test examples right or wrong."""
    recipe = recipe or Recipe()
    scorer = LabelScorer(["yes", "no"])
    asked = []
    for contender, marks in right.items():
        texts = ["yes" if mark else "no" for mark in marks]
        answers = [
            Answer(
                example=one.id,
                text=text,
                scores=scorer.score(text, one.answer),
                tokens_in=5,
                tokens_out=1,
                seconds=0.2,
                is_complete=True,
            )
            for one, text in zip(test, texts, strict=True)
        ]
        kind = "tuned" if contender == "tuned" else "zero-shot"
        asked.append(
            ContenderAnswers(
                ContenderSpec(name=contender, kind=kind, description="the question"), answers
            )
        )
    dataset = DatasetInfo(
        name="numbers", format="messages", files=(), columns={}, examples=900, content=content
    )
    return ComparableRun(
        run=Run(
            id=name,
            created="2026-11-26T06:00:00.000+00:00",
            status="finished",
            recipe=recipe.fingerprint,
            dataset="d",
            split="s",
            prepared={},
            versions={"tunesmith": "0.1.0", "torch": "2.13.0"},
            seeds={"recipe": recipe.seed},
            model=ModelIdentity(
                name=model, source="embedded", revision=None, folder="f", files={"w": model * 8}
            ),
            machine=Machine(
                platform="Linux", processor="x", cores=cores, memory_bytes=1, accelerator=None
            ),
        ),
        recipe=recipe,
        check=CheckReport(dataset=dataset, model=None, problems=()),
        split=Split(
            seed=recipe.seed,
            method="hash",
            grouped_by=None,
            stratified=False,
            train=("t",),
            validation=("v",),
            test=tuple(one.id for one in test),
        ),
        evaluation=evaluate_answers(asked, Task("numbers", test, scorer, "as named", 0.1)),
        answers={one.name: one.answers for one in asked},
    )


def stored(facts: ComparableRun, parent: Path) -> RunFolder:
    """The run in a folder, as `decide` leaves it."""
    folder = RunFolder.create(parent, "numbers")
    for record in (facts.run, facts.check, facts.split, facts.evaluation):
        folder.write(record)
    folder.write_recipe(facts.recipe)
    for contender in facts.evaluation.contenders:
        profile = ContenderSpec(
            name=contender.name, kind=contender.kind, description=contender.description
        )
        folder.write_answers(ContenderRecord(spec=profile), facts.answers[contender.name])
    return folder
