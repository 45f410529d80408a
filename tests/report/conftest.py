"""A report as a real run would leave it: five contenders on 60 messy names; the numbers are drawn,
not measured."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from statistics import mean, stdev

import pytest

from tunesmith.decision import decide
from tunesmith.records import (
    Answer,
    CheckReport,
    Comparison,
    Contender,
    DatasetInfo,
    Evaluation,
    Example,
    Machine,
    MaskProof,
    Message,
    MetricLine,
    ModelIdentity,
    Problem,
    Quantity,
    Recipe,
    Requirements,
    Run,
    SourceFile,
    Split,
    TextSpan,
    TrainingResult,
)
from tunesmith.report import ReportInput

INSTRUCTION = "Split the name into its parts and answer with JSON."
FIRST = ("Maria", "John", "Eleanor", "Wei", "Samuel", "Priya", "Otto", "Ines", "Kofi", "Hanna")
LAST = (
    "Okafor",
    "van der Berg",
    "O'Neill",
    "Schmidt-Lund",
    "Abara",
    "Castellanos",
    "Smith",
    "Nakamura",
)
MARKS = ("", ", Jr.", " III", ", M.D.", " and Sons", ", LLC")

KINDS = {
    "zero-shot": ("zero-shot", 0.10, "The instruction and the question, nothing else.", 0.46, 61),
    "few-shot": (
        "few-shot",
        0.34,
        "The instruction and 5 fixed examples from the training split.",
        0.52,
        372,
    ),
    "rag": (
        "rag",
        0.52,
        "The instruction and the 3 nearest training examples, found by BM25 for each question.",
        0.58,
        251,
    ),
    "tuned": (
        "tuned",
        0.90,
        "The instruction and the question, the same as zero-shot; the weights were tuned.",
        0.41,
        61,
    ),
    "tuned+rag": (
        "tuned+rag",
        0.905,
        "The tuned weights and the 3 nearest training examples.",
        0.60,
        251,
    ),
}


def names(count: int, rng: random.Random) -> list[Example]:
    """Distinct messy names with their parts as JSON."""
    made: dict[str, Example] = {}
    while len(made) < count:
        first, last, mark = rng.choice(FIRST), rng.choice(LAST), rng.choice(MARKS)
        text = rng.choice(
            (f"{first} {last}{mark}", f"{last}, {first}{mark}", f"{first[0]}. {last}{mark}".upper())
        )
        parts = {"given_name": first, "surname": last} | (
            {"suffix": mark.strip(", ")} if mark else {}
        )
        messages = (
            Message("system", INSTRUCTION),
            Message("user", text),
            Message("assistant", json.dumps(parts)),
        )
        made[text] = Example(line=len(made) * 7 + 3, messages=messages)
    return list(made.values())


def answers_of(
    examples: list[Example], skill: float, seconds: float, rng: random.Random
) -> list[Answer]:
    """Answers that get each field right with probability `skill`."""
    answers = []
    for example in examples:
        wanted = json.loads(example.answer)
        given = {
            key: value if rng.random() < skill else value[::-1].title()
            for key, value in wanted.items()
        }
        right = sum(given[key] == value for key, value in wanted.items()) / len(wanted)
        scores = {"field_f1": right, "exact": float(right == 1)}
        text = (
            json.dumps(given)
            if skill > 0.2
            else f"Sure! Here is the name you asked for: {' '.join(given.values())}."
        )
        answers.append(
            Answer(
                example=example.id,
                text=text,
                scores=scores,
                tokens_in=61,
                tokens_out=24,
                seconds=seconds,
                is_complete=True,
            )
        )
    return answers


def spread(values: list[float]) -> tuple[float, float, float]:
    """Mean and a normal 95 % interval."""
    middle, half = mean(values), 1.96 * stdev(values) / len(values) ** 0.5
    return middle, middle - half, middle + half


def evaluation_of(answers: dict[str, list[Answer]]) -> Evaluation:
    """Quantities and paired comparisons of these answers."""
    contenders = []
    for name, (kind, _, given, seconds, tokens_in) in KINDS.items():
        metrics = {}
        for metric in ("field_f1", "exact"):
            value, low, high = spread([answer.scores[metric] for answer in answers[name]])
            metrics[metric] = Quantity(
                value=value, low=max(low, 0), high=min(high, 1), n=len(answers[name])
            )
        setup = {"tuned": 214.0, "tuned+rag": 215.2, "rag": 1.2}.get(kind, 0.0)
        contenders.append(
            Contender(
                name=name,
                kind=kind,
                description=given,
                metrics=metrics,
                seconds_per_request=seconds,
                tokens_in_per_request=tokens_in,
                tokens_out_per_request=24,
                usd_per_1000=seconds * 1000 / 3600 * 0.1,
                setup_seconds=setup,
                setup_usd=setup / 36000,
            )
        )
    comparisons = []
    for i, a in enumerate(KINDS):
        for b in list(KINDS)[:i]:
            differences = [
                x.scores["field_f1"] - y.scores["field_f1"]
                for x, y in zip(answers[a], answers[b], strict=True)
            ]
            difference, low, high = spread(differences)
            told = low > 0 or high < 0
            comparisons.append(
                Comparison(
                    a=a,
                    b=b,
                    metric="field_f1",
                    difference=difference,
                    low=low,
                    high=high,
                    p=0.0004 if told else 0.31,
                    n=len(differences),
                    required_n=None if told else 940,
                )
            )
    return Evaluation(
        task="names",
        scorer="json-fields",
        scorer_reason="every training answer is a JSON object",
        metric="field_f1",
        examples=tuple(answer.example for answer in answers["tuned"]),
        contenders=tuple(contenders),
        comparisons=tuple(comparisons),
        machine_usd_per_hour=0.1,
    )


def metric_lines(steps: int = 160, every: int = 40) -> list[MetricLine]:
    """A training that goes well and overfits a little at the end."""
    rng = random.Random(5)
    lines = []
    for step in range(1, steps + 1):
        loss = 0.11 + 1.9 * 0.965**step + rng.gauss(0, 0.02)
        lines.append(
            MetricLine(
                kind="step",
                step=step,
                epoch=step / 80,
                loss=max(loss, 0.05),
                seconds=1.3 * step,
                learning_rate=2e-4,
            )
        )
    for step, loss, score in (
        (0, 2.31, 0.08),
        (40, 0.62, 0.61),
        (80, 0.29, 0.82),
        (120, 0.215, 0.89),
        (160, 0.228, 0.88),
    ):
        lines.append(
            MetricLine(
                kind="validation",
                step=step,
                epoch=step / 80,
                loss=loss,
                seconds=1.3 * step,
                score=score,
                score_name="field_f1",
            )
        )
    return lines


def run_of(recipe: Recipe) -> Run:
    """The head of a finished run."""
    digest = "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c"
    return Run(
        id="names-20261123-2104-5af5",
        created="2026-11-23T21:04:11Z",
        status="finished",
        recipe=recipe.fingerprint,
        dataset=digest,
        split=digest,
        prepared={"train": digest},
        seeds={"split": 0, "order": 0, "adapter": 0},
        model=ModelIdentity(
            name="smollm2-135m-instruct",
            source="embedded",
            revision=None,
            folder="models/smollm2-135m-instruct",
            files={"model.safetensors": digest, "tokenizer.json": digest},
            parameters=134_515_008,
        ),
        machine=Machine(
            platform="Linux x86_64",
            processor="AMD EPYC",
            cores=2,
            memory_bytes=8 * 2**30,
            accelerator=None,
        ),
        versions={
            "python": "3.11.2",
            "tunesmith": "0.1.0",
            "torch": "2.13.0",
            "transformers": "5.23.0",
        },
        result=TrainingResult(
            status="finished",
            steps=160,
            planned_steps=160,
            best_step=120,
            best_validation_loss=0.215,
            best_score=0.89,
            seconds=214,
            tokens_trained=61_440,
            tokens_read=204_800,
            peak_memory_bytes=int(1.4 * 2**30),
            trainable_parameters=4_884_480,
            energy_joules=12_340.0,
        ),
    )


def check_of() -> CheckReport:
    """Two findings on 4,281 examples."""
    file = SourceFile(path="names.jsonl", sha256="c9" * 32, size_bytes=812_344, examples=4281)
    dataset = DatasetInfo(
        name="names", format="messages", files=(file,), columns={}, examples=4281, content="e1" * 32
    )
    return CheckReport(
        dataset=dataset,
        model="smollm2-135m-instruct",
        problems=(
            Problem(
                code="conflicting-answers",
                severity="warning",
                count=9,
                lines=(88, 91, 140, 2204, 2391, 3001, 3050),
                message="The same prompt has different answers.",
                hint="keep the correct answer of each, or make the prompts differ",
            ),
            Problem(
                code="exact-duplicates",
                severity="note",
                count=611,
                lines=(12, 17),
                message="Examples occur more than once; each kept on one side of the split.",
                hint="nothing, or drop them with --drop",
            ),
        ),
    )


def example_report(bar: Requirements | None = None) -> ReportInput:
    """Everything that a finished `decide` hands to the report."""
    rng = random.Random(7)
    examples = names(60, rng)
    answers = {
        name: answers_of(examples, skill, seconds, rng)
        for name, (_, skill, _, seconds, _) in KINDS.items()
    }
    evaluation = evaluation_of(answers)
    recipe = Recipe()
    head = f"<|im_start|>system\n{INSTRUCTION}<|im_end|>\n<|im_start|>user\n"
    pieces = tuple(
        (
            TextSpan(
                text=f"{head}{example.question}<|im_end|>\n<|im_start|>assistant\n",
                is_trained=False,
            ),
            TextSpan(text=f"{example.answer}<|im_end|>", is_trained=True),
            TextSpan(text="\n", is_trained=False),
        )
        for example in examples[:3]
    )
    ids = [f"{number:016x}" for number in range(4281)]
    return ReportInput(
        run=run_of(recipe),
        recipe=recipe,
        check=check_of(),
        split=Split(
            seed=0,
            method="hash",
            grouped_by=None,
            stratified=False,
            train=tuple(ids[:2996]),
            validation=tuple(ids[2996:3424]),
            test=tuple(ids[3424:]),
        ),
        mask=MaskProof(examples=pieces, end_of_turn="<|im_end|>", is_end_of_turn_trained=True),
        metrics=metric_lines(),
        evaluation=evaluation,
        answers=answers,
        examples={example.id: example for example in examples},
        decision=decide(evaluation, bar or Requirements()),
        command="tunesmith decide names.jsonl --recipe recipe.yaml",
        defaults=(
            (
                "training.learning_rate",
                "0.0002",
                "LoRA Without Regret (2025), 10 times full tuning",
            ),
            ("adapter.rank", "16", "Hu et al. 2021"),
        ),
    )


@pytest.fixture(scope="session")
def report() -> ReportInput:
    """The example report."""
    return example_report()


@pytest.fixture
def with_answer(report: ReportInput) -> Callable[[str], ReportInput]:
    """The example report in which the tuned model's every answer is this text, and wrong."""

    def planted(text: str) -> ReportInput:
        bad = [
            answer.model_copy(update={"text": text, "scores": {"field_f1": 0.0}})
            for answer in report.answers["tuned"]
        ]
        return replace(report, answers={**report.answers, "tuned": bad})

    return planted
