"""The report in Markdown: short, for a pull request or an e-mail.

Text from data or from a model is put into code spans, where Markdown, HTML and image links are
inert.
"""

from collections.abc import Iterable

from tunesmith.data.contamination import describe_contamination
from tunesmith.evaluation.forgetting.forgetting_summary import describe_forgetting
from tunesmith.records import Contender, Quantity, format_verdict
from tunesmith.records.quantity import format_duration, format_metric_name, format_percent
from tunesmith.report.cost_table import (
    format_cost,
    format_cost_bases,
    format_time,
    render_cost_markdown,
)
from tunesmith.report.report_data import (
    CORRECTION_NOTE,
    collect_corrected_p,
    find_worst_examples,
    format_split_sizes,
    list_metric_names,
    sort_differences,
)
from tunesmith.report.report_input import ReportInput
from tunesmith.report.text_escaping import escape_markdown, format_code, format_name, render_table


def render_markdown(content: ReportInput) -> str:
    """The whole report as Markdown."""
    parts = [
        _render_verdict(content),
        _render_trust(content),
        _render_contenders(content),
        _render_differences(content),
        render_cost_markdown(content.cost, content.decision.winner) if content.cost else "",
        _render_training(content),
        _render_forgetting(content),
        _render_suggestions(content),
        _render_data(content),
        _render_worst_answers(content),
        _render_reproduction(content),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _render_verdict(content: ReportInput) -> str:
    warnings = [f"**Warning: {escape_markdown(warning)}**" for warning in content.decision.warnings]
    by_name = {one.name: one for one in content.evaluation.contenders}
    shown = [
        (role, by_name[name]) for role, name in content.decision.key_contenders if name in by_name
    ]
    rows = [
        [role, format_name(one.name), *_format_summary_cells(one, content)] for role, one in shown
    ]
    parts = [
        f"# Verdict: {format_verdict(content.decision.verdict)}",
        *(escape_markdown(line) for line in content.decision.summary),
        *warnings,
        render_table(
            [
                "",
                "contender",
                format_name(format_metric_name(content.evaluation.metric)),
                "1,000 requests",
            ],
            rows,
        ),
        f"## Details\n\n{_render_list(content.decision.reasons)}",
    ]
    return "\n\n".join(parts)


def _format_summary_cells(one: Contender, content: ReportInput) -> tuple[str, str]:
    evaluation = content.evaluation
    return _format_score(one.metrics.get(evaluation.metric)), format_cost(
        one, evaluation.contenders
    )


def _render_list(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {escape_markdown(sentence)}" for sentence in sentences)


def _render_trust(content: ReportInput) -> str:
    """How far the test can be trusted."""
    sentences = [content.power.sentence, *content.power.options] if content.power else []
    if content.test_set_access:
        sentences.append(f"This test set was {content.test_set_access}.")
    if content.contamination:
        sentences += describe_contamination(
            content.contamination,
            len(content.split.train) + len(content.contamination.removed_train_ids),
        )
    if content.qualification:
        judge = content.qualification
        outcome = (
            "qualified, and its scores are used for the verdict"
            if judge.is_qualified
            else "did not qualify: its scores are shown but not used for the verdict"
        )
        sentences += [
            f"The judge {format_name(judge.judge)} {outcome}.",
            *judge.reasons,
            *content.judge_notes,
        ]
    return f"## Test set\n\n{_render_list(sentences)}" if sentences else ""


def _render_forgetting(content: ReportInput) -> str:
    if content.forgetting is None:
        return ""
    return f"## Forgetting\n\n{_render_list(describe_forgetting(content.forgetting, content.recipe.requirements.max_forgetting))}"  # noqa: E501


def _render_suggestions(content: ReportInput) -> str:
    """Recommended actions; they may contain labels and words of the data, so Markdown is
    escaped.
    """
    suggestions = content.analysis.suggestions if content.analysis else ()
    return (
        "## Recommended actions\n\n"
        + "\n".join(f"- {escape_markdown(one.text)}" for one in suggestions)
        if suggestions
        else ""
    )


def _render_contenders(content: ReportInput) -> str:
    evaluation = content.evaluation
    metrics = list_metric_names(evaluation)
    head = [
        "contender",
        *(format_name(format_metric_name(metric)) for metric in metrics),
        "per request",
        "per 1,000 requests",
        "description",
    ]
    missing = {one.name: _count_missing(one, evaluation.metric) for one in evaluation.contenders}
    if any(missing.values()):
        head.insert(1 + len(metrics), "no score")
    rows = []
    for one in evaluation.contenders:
        name = f"**{one.name}**" if one.name == content.decision.winner else one.name
        cells = [_format_score(one.metrics.get(metric)) for metric in metrics]
        cells += [f"{missing[one.name]:,}"] if any(missing.values()) else []
        rows.append(
            [
                name,
                *cells,
                format_time(one),
                format_cost(one, evaluation.contenders),
                escape_markdown(one.description),
            ]
        )
    note = (
        f"{len(evaluation.examples):,} test examples; 95 % intervals. Scorer:"
        f" {format_name(evaluation.scorer)}. "
    )
    note += format_cost_bases(evaluation)
    return f"## Contenders\n\n{render_table(head, rows)}\n\n{note}"


def _format_score(score: Quantity | None) -> str:
    if score is None or score.n == 0:
        return "no score"
    return f"{format_percent(score.value)} ({100 * score.low:.1f} to {100 * score.high:.1f})"


def _count_missing(one: Contender, metric: str) -> int:
    """Requests that failed, or whose answers could not be judged."""
    return one.metrics[metric].n_failed if metric in one.metrics else 0


def _render_differences(content: ReportInput) -> str:
    corrected = collect_corrected_p(content)
    rows = [
        [
            f"{pair.a} − {pair.b}",
            f"{100 * pair.difference:+.1f} ({100 * pair.low:+.1f} to {100 * pair.high:+.1f})",
            f"{pair.p:.2g}",
            f"{corrected[pair.a, pair.b]:.2g}",
            f"{pair.n:,}",
        ]
        for pair in sort_differences(content.evaluation)
    ]
    head = [
        "pair",
        f"points of {format_metric_name(content.evaluation.metric)}",
        "p",
        "p, Holm-corrected",
        "n",
    ]
    return (
        f"## Differences on the same examples\n\n{render_table(head, rows)}\n\n{CORRECTION_NOTE}"
        if rows
        else ""
    )


def _render_training(content: ReportInput) -> str:
    result = content.run.result if content.run else None
    if result is None:
        return ""
    length = (
        f"Trained for {result.training_length.summary}"
        if result.training_length
        else f"{result.steps:,} steps"
    )
    validation = (
        f"(including {format_duration(result.validation_seconds)} of validation)"
        if result.validation_seconds
        else ""
    )
    loss = (
        ""
        if result.best_validation_loss is None
        else f", validation loss {result.best_validation_loss:.3f}"
    )
    return (
        f"## Training\n\n{length} in {format_duration(result.seconds)}{validation}; best "
        f"checkpoint: step {result.best_step:,}{loss}. {result.tokens_read:,} tokens read, "
        f"{result.tokens_trained:,} of them trained; {result.trainable_parameters:,} trainable "
        f"parameters; peak memory {result.peak_memory_bytes / 2**30:.1f} GiB"
        + (f"; energy {result.energy_joules / 1000:.1f} kJ." if result.energy_joules else ".")
    )


def _render_data(content: ReportInput) -> str:
    problems = content.check.problems
    rows = [
        [one.severity, format_code(one.code), f"{one.count:,}", escape_markdown(one.summary)]
        for one in problems
    ]
    findings = (
        render_table(["severity", "finding", "count", "what"], rows)
        if rows
        else "The check found no problems."
    )
    return f"## Data\n\n{format_split_sizes(content)}.\n\n{findings}"


def _render_worst_answers(content: ReportInput) -> str:
    cases = find_worst_examples(content, limit=5)
    if not cases:
        return ""
    head = ["question", "expected", *(name for name, _, _ in cases[0].answers)]
    rows = [
        [
            format_code(case.example.question),
            format_code(case.example.answer),
            *(format_code(answer.text) for _, answer, _ in case.answers),
        ]
        for case in cases
    ]
    return f"## Worst answers\n\n{render_table(head, rows)}"


def _render_reproduction(content: ReportInput) -> str:
    lines = [
        f"- command: {format_code(content.command)}",
        f"- data: {format_code(content.check.dataset.content)}",
    ]
    if content.run:
        seeds = ", ".join(f"{name} {seed}" for name, seed in content.run.seeds.items())
        lines += [
            f"- run: {format_code(content.run.id)}",
            f"- model: {format_code(content.run.trained_model.name)}",
            f"- seeds: {seeds}",
        ]
    return "## Reproduce this run\n\n" + "\n".join(lines)
