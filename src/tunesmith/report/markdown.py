"""The report in Markdown: short, for a pull request or a mail.

Whatever came from data or from a model stands inside a code span, where Markdown, HTML and image links are inert.
"""

from collections.abc import Iterable

from tunesmith.data.leaks import notes_of
from tunesmith.evaluation.forgetting.wording import sentences_of
from tunesmith.records import Contender, Quantity, headline
from tunesmith.records.quantity import duration, percent, wording
from tunesmith.report.content import ReportInput
from tunesmith.report.cost import cost_markdown
from tunesmith.report.data import (
    FAMILY,
    corrected_p,
    metric_names,
    ordered_differences,
    sides_of,
    worst_cases,
)
from tunesmith.report.plain import code, inert, table, words
from tunesmith.report.told import bases_told, cost_told, time_told


def render_markdown(content: ReportInput) -> str:
    """The whole report as Markdown."""
    parts = [
        _verdict(content),
        _trust(content),
        _contenders(content),
        _differences(content),
        cost_markdown(content.cost, content.decision.winner) if content.cost else "",
        _training(content),
        _forgetting(content),
        _suggestions(content),
        _data(content),
        _worst(content),
        _repeat(content),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _verdict(content: ReportInput) -> str:
    warnings = [f"**Warning: {inert(warning)}**" for warning in content.decision.warnings]
    asked = {one.name: one for one in content.evaluation.contenders}
    beside = [(role, asked[name]) for role, name in content.decision.beside if name in asked]
    rows = [[role, words(one.name), *_beside(one, content)] for role, one in beside]
    parts = [
        f"# Verdict: {headline(content.decision.verdict)}",
        *(inert(line) for line in content.decision.summary),
        *warnings,
        table(["", "contender", words(wording(content.evaluation.metric)), "1,000 requests"], rows),
        f"## Details\n\n{_listed(content.decision.reasons)}",
    ]
    return "\n\n".join(parts)


def _beside(one: Contender, content: ReportInput) -> tuple[str, str]:
    evaluation = content.evaluation
    return _score(one.metrics.get(evaluation.metric)), cost_told(one, evaluation.contenders)


def _listed(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {inert(sentence)}" for sentence in sentences)


def _trust(content: ReportInput) -> str:
    """How far the test can be trusted."""
    told = [content.power.sentence, *content.power.options] if content.power else []
    if content.looks:
        told.append(f"This test set was {content.looks}.")
    if content.leaks:
        told += notes_of(content.leaks, len(content.split.train) + len(content.leaks.left_out))
    if content.qualification:
        judge = content.qualification
        did = (
            "qualified and decides"
            if judge.is_qualified
            else "did not qualify: its scores are shown and decide nothing"
        )
        told += [f"The judge {words(judge.judge)} {did}.", *judge.reasons, *content.judge_told]
    return f"## The test\n\n{_listed(told)}" if told else ""


def _forgetting(content: ReportInput) -> str:
    if content.forgetting is None:
        return ""
    return f"## Forgetting\n\n{_listed(sentences_of(content.forgetting, content.recipe.bar.max_forgetting))}"


def _suggestions(content: ReportInput) -> str:
    """What to do next; it may name labels and words of the data, so its marks are escaped."""
    suggestions = content.analysis.suggestions if content.analysis else ()
    return "## What to do\n\n" + "\n".join(f"- {inert(one.text)}" for one in suggestions) if suggestions else ""


def _contenders(content: ReportInput) -> str:
    evaluation = content.evaluation
    metrics = metric_names(evaluation)
    head = ["contender", *(words(wording(metric)) for metric in metrics), "per request", "per 1,000 requests", "given"]
    missing = {one.name: _missing(one, evaluation.metric) for one in evaluation.contenders}
    if any(missing.values()):
        head.insert(1 + len(metrics), "without a score")
    rows = []
    for one in evaluation.contenders:
        name = f"**{one.name}**" if one.name == content.decision.winner else one.name
        cells = [_score(one.metrics.get(metric)) for metric in metrics]
        cells += [f"{missing[one.name]:,}"] if any(missing.values()) else []
        rows.append([name, *cells, time_told(one), cost_told(one, evaluation.contenders), inert(one.given)])
    note = f"{len(evaluation.examples):,} test examples; 95 % intervals. Scorer: {words(evaluation.scorer)}. "
    note += bases_told(evaluation)
    return f"## Contenders\n\n{table(head, rows)}\n\n{note}"


def _score(score: Quantity | None) -> str:
    if score is None or score.n == 0:
        return "no score"
    return f"{percent(score.value)} ({100 * score.low:.1f} to {100 * score.high:.1f})"


def _missing(one: Contender, metric: str) -> int:
    """Requests that failed, or whose answers could not be judged."""
    return one.metrics[metric].failed if metric in one.metrics else 0


def _differences(content: ReportInput) -> str:
    told = corrected_p(content)
    rows = [
        [
            f"{pair.a} − {pair.b}",
            f"{100 * pair.difference:+.1f} ({100 * pair.low:+.1f} to {100 * pair.high:+.1f})",
            f"{pair.p:.2g}",
            f"{told[pair.a, pair.b]:.2g}",
            f"{pair.n:,}",
        ]
        for pair in ordered_differences(content.evaluation)
    ]
    head = ["pair", f"points of {wording(content.evaluation.metric)}", "p", "p, corrected", "n"]
    return f"## Differences on the same examples\n\n{table(head, rows)}\n\n{FAMILY}" if rows else ""


def _training(content: ReportInput) -> str:
    result = content.run.result if content.run else None
    if result is None:
        return ""
    read = f"Tuned for {result.extent.told}" if result.extent else f"{result.steps:,} steps"
    validation = f", {duration(result.validation_seconds)} of it validation" if result.validation_seconds else ""
    loss = "" if result.best_validation_loss is None else f", validation loss {result.best_validation_loss:.3f}"
    return (
        f"## Training\n\n{read} in {duration(result.seconds)}{validation}; kept step {result.best_step:,}{loss}. "
        f"{result.tokens_trained:,} tokens trained of {result.tokens_read:,} read, "
        f"{result.trainable_parameters:,} trainable parameters, peak memory {result.peak_memory_bytes / 2**30:.1f} GiB"
        + (f", {result.energy_joules / 1000:.1f} kJ." if result.energy_joules else ".")
    )


def _data(content: ReportInput) -> str:
    problems = content.check.problems
    rows = [[one.severity, code(one.code), f"{one.count:,}", inert(one.message)] for one in problems]
    found = table(["severity", "finding", "count", "what"], rows) if rows else "The check found no problem."
    return f"## Data\n\n{sides_of(content)}.\n\n{found}"


def _worst(content: ReportInput) -> str:
    cases = worst_cases(content, limit=5)
    if not cases:
        return ""
    head = ["question", "wanted", *(name for name, _, _ in cases[0].answers)]
    rows = [
        [code(case.example.question), code(case.example.answer), *(code(answer.text) for _, answer, _ in case.answers)]
        for case in cases
    ]
    return f"## Worst answers\n\n{table(head, rows)}"


def _repeat(content: ReportInput) -> str:
    lines = [f"- command: {code(content.command)}", f"- data: {code(content.check.dataset.content)}"]
    if content.run:
        seeds = ", ".join(f"{name} {seed}" for name, seed in content.run.seeds.items())
        lines += [f"- run: {code(content.run.id)}", f"- model: {code(content.run.model.name)}", f"- seeds: {seeds}"]
    return "## Repeat\n\n" + "\n".join(lines)
