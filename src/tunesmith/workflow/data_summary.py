"""Examples -> what a decision will make of them, before anything is spent: labels, lengths, scorer,
form, splits.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

from tunesmith.contenders.output_constraint import infer_output_constraint
from tunesmith.contenders.test_set_power import count_challengers
from tunesmith.data.final_answer import extract_final_answer
from tunesmith.data.label_detection import find_labels
from tunesmith.data.read import LoadedDataset
from tunesmith.data.read.column_mapping import format_mapping
from tunesmith.data.read.data_formats import FORMAT_RULES
from tunesmith.data.split import split_examples
from tunesmith.decision.power_statement import build_power_statement
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer
from tunesmith.providers.embedder import LocalEmbedder
from tunesmith.providers.local_model import ResolvedModel
from tunesmith.records import DataDescription, Example, LengthStats, Recipe

MAX_DESCRIBED = 50_000
"""Examples that are described; of more, an evenly spaced part."""
MAX_MEASURED = 2000
"""Examples whose length is measured: the first ones suffice for a description of all."""


def describe_data(
    loaded: LoadedDataset, test: LoadedDataset | None, named: ResolvedModel | None, recipe: Recipe
) -> DataDescription:
    """What `decide` with this recipe will make of valid examples.

    Of more than `MAX_DESCRIBED` examples an evenly spaced part is described, and its split sizes
    are scaled up. Plain texts have no scorer, and so no statement of what their test set can show.
    """
    # Ceiling division; at least 1 for an empty data set.
    step = -(-len(loaded.examples) // MAX_DESCRIBED) or 1
    sample, sides = loaded.examples[::step], loaded.declared_splits
    split = split_examples(
        sample,
        recipe.seed,
        recipe.data.validation_fraction,
        recipe.data.test_fraction,
        grouped_by=recipe.data.group_column,
        test=test.examples if test else None,
        declared_splits=sides and sides[::step],
    )
    train, validation = len(split.train) * step, len(split.validation) * step
    tested = len(split.test) * (1 if test else step)
    some = sample[:MAX_MEASURED]
    unscored = _explain_unscored(chain(loaded.examples, test.examples if test else ()))
    on_train = set(split.train)
    answers = [one.answer for one in sample if one.id in on_train and one.is_desirable is not False]
    scorer, reason, output_format, statement = "", unscored, "", ""
    if not unscored:
        chosen, reason = choose_scorer(answers, recipe.evaluation.scorer, LocalEmbedder)
        constraint, output_format = infer_output_constraint(answers)
        scorer = chosen.name
        statement = build_power_statement(
            tested,
            recipe.requirements,
            comparisons=count_challengers(recipe, constraint is not None),
            train=train,
        ).sentence
    return DataDescription(
        labels={} if unscored else count_labels([one.answer for one in loaded.examples]),
        length_unit="tokens" if named else "characters",
        n_measured=len(some),
        question_lengths=measure_lengths([_join_prompt(one) for one in some], named),
        answer_lengths=measure_lengths([one.answer for one in some], named),
        scorer=scorer,
        scorer_reason=reason,
        output_format=output_format,
        n_described=len(sample),
        train=train,
        validation=validation,
        test=tested,
        power_statement=statement,
        columns=_format_read_columns(loaded),
    )


def _explain_unscored(examples: Iterable[Example]) -> str:
    """Why no scorer can compare contenders on these examples; "" if one can."""
    if any(not example.messages for example in examples):
        return "plain texts have no question and answer to compare; tunesmith train trains on them"
    return ""


def _format_read_columns(loaded: LoadedDataset) -> str:
    """The columns that were read, ready to copy: "prompt=question,completion=answer"; "" for a task
    of another tool, which has none.
    """
    if loaded.ids is None:
        return ""
    mapped = loaded.dataset.columns
    rule = next(rule for rule in FORMAT_RULES if rule.format == loaded.dataset.format)
    required = {name: mapped.get(name, name) for name in rule.required}
    return format_mapping({**required, **mapped})


def count_labels(answers: Sequence[str]) -> dict[str, int]:
    """Number of uses of each label, most used first; {} if answers are not labels."""
    labels = find_labels(answers)
    if labels is None:
        return {}
    uses: Counter[str] = Counter()
    for answer, count in Counter(answers).items():
        uses[labels.normalize_label(extract_final_answer(answer).strip())] += count
    return {label: uses[labels.normalize_label(label)] for label in labels.labels}


def measure_lengths(texts: Sequence[str], named: ResolvedModel | None) -> LengthStats:
    """Length statistics in tokens of the model, or in characters without one."""
    sizes = sorted(
        map(len, texts)
        if named is None
        else (len(one.ids) for one in named.tokenizer.encode(list(texts)))
    )
    last = len(sizes) - 1
    return LengthStats(median=sizes[last // 2], p95=sizes[round(0.95 * last)], max=sizes[last])


def _join_prompt(example: Example) -> str:
    """All messages before the answer as one text."""
    return "\n".join(message.content for message in example.prompt)
