"""Test sets with known errors: labels, JSON and free text."""

import random
from collections.abc import Sequence

from tunesmith.evaluation.contender_answers import ContenderAnswers
from tunesmith.evaluation.harness import Task, evaluate_answers
from tunesmith.evaluation.scorers.scorer_registry import build_scorer
from tunesmith.records import Answer, ContenderSpec, Evaluation, Example, Message

WORDS = {
    "refund": "please give my money back for the broken lamp order",
    "return": "please take back the broken lamp and tell me how to send",
    "arrival": "when does my parcel arrive at the house this week",
    "login": "my password does not open the account page any more",
}


def example(line: int, question: str, answer: str) -> Example:
    """A question with its answer."""
    return Example(line=line, messages=(Message("user", question), Message("assistant", answer)))


def label_examples(count: int, seed: int, start: int = 0) -> list[Example]:
    """Questions whose words give their label away; every one is different."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        label = list(WORDS)[number % len(WORDS)]
        words = draw.sample(WORDS[label].split(), 6)
        made.append(example(start + number + 1, f"{' '.join(words)} {seed}-{number}", label))
    return made


def answer_to(one: Example, text: str, scores: dict[str, float], **more: object) -> Answer:
    """A stored answer."""
    fields = {
        "example": one.id,
        "text": text,
        "scores": scores,
        "tokens_in": 9,
        "tokens_out": 2,
        "seconds": 0.1,
    }
    return Answer(**{**fields, "is_complete": True, **more})


def judged(
    examples: Sequence[Example], texts: Sequence[str], scorer: str, train: Sequence[Example]
) -> tuple[Evaluation, list[Answer]]:
    """These answers scored and evaluated."""
    made = build_scorer(scorer, [one.answer for one in train])
    answers = [
        answer_to(one, text, made.score(text, one.answer))
        for one, text in zip(examples, texts, strict=True)
    ]
    task = Task("support", examples, made, "as named", 0.1)
    asked = ContenderAnswers(
        ContenderSpec(name="tuned", kind="tuned", description="the question"), answers
    )
    return evaluate_answers([asked], task), answers


World = tuple[Evaluation, list[Answer], list[Example], list[Example]]
