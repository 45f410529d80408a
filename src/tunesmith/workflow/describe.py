"""Examples -> what a decision will make of them, before anything is spent: labels, lengths, scorer, form, sides."""

from collections import Counter
from collections.abc import Sequence

from tunesmith.baselines.form import form_of
from tunesmith.data.final_answer import final_answer
from tunesmith.data.label_set import find_labels
from tunesmith.data.read import Loaded
from tunesmith.data.read.columns import as_flag_value
from tunesmith.data.split import split_examples
from tunesmith.decision.power import what_can_be_shown
from tunesmith.evaluation.scorers.choose import choose_scorer
from tunesmith.providers.embedder import LocalEmbedder
from tunesmith.providers.local_model import NamedModel
from tunesmith.records import DataDescription, Example, Lengths, Recipe
from tunesmith.workflow.showing import rivals

MAX_DESCRIBED = 50_000
MEASURED = 2000
"""Examples whose length is counted: the first ones are enough to describe them all."""


def describe_data(loaded: Loaded, test: Loaded | None, named: NamedModel | None, recipe: Recipe) -> DataDescription:
    """What `decide` with this recipe will make of examples that have no error, and a question and an answer each.

    Of more than `MAX_DESCRIBED` examples an evenly spaced part is described, and its sides are scaled up.
    """
    step = -(-len(loaded.examples) // MAX_DESCRIBED) or 1
    sample, sides = loaded.examples[::step], loaded.sides
    split = split_examples(
        sample, recipe.seed, recipe.data.validation_share, recipe.data.test_share,
        grouped_by=recipe.data.group, test=test.examples if test else None, sides=sides and sides[::step],
    )  # fmt: skip
    on_train = set(split.train)
    answers = [one.answer for one in sample if one.id in on_train and one.is_desirable is not False]
    train, validation = len(split.train) * step, len(split.validation) * step
    tested = len(split.test) * (1 if test else step)
    scorer, reason = choose_scorer(answers, recipe.evaluation.scorer, LocalEmbedder)
    form, why = form_of(answers)
    power = what_can_be_shown(tested, recipe.bar, comparisons=rivals(recipe, form is not None), train=train)
    some = sample[:MEASURED]
    return DataDescription(
        labels=labels_of([one.answer for one in loaded.examples]),
        counted_in="tokens" if named else "characters",
        measured=len(some),
        question_lengths=lengths_of([_question(one) for one in some], named),
        answer_lengths=lengths_of([one.answer for one in some], named),
        scorer=scorer.name,
        scorer_reason=reason,
        form=why,
        described=len(sample),
        train=train,
        validation=validation,
        test=tested,
        shows=power.sentence,
        columns=as_flag_value(loaded.dataset.columns),
    )


def labels_of(answers: Sequence[str]) -> dict[str, int]:
    """How often each label is used, the most used first; {} where answers are no labels."""
    found = find_labels(answers)
    if found is None:
        return {}
    uses: Counter[str] = Counter()
    for answer, count in Counter(answers).items():
        uses[found.key_of(final_answer(answer).strip())] += count
    return {label: uses[found.key_of(label)] for label in found.labels}


def lengths_of(texts: Sequence[str], named: NamedModel | None) -> Lengths:
    """In tokens of the model, else in characters."""
    sizes = sorted(map(len, texts) if named is None else (len(one.ids) for one in named.tokenizer.encode(list(texts))))
    last = len(sizes) - 1
    return Lengths(median=sizes[last // 2], high=sizes[round(0.95 * last)], most=sizes[last])


def _question(example: Example) -> str:
    """Everything before the answer."""
    return "\n".join(message.content for message in example.prompt)
