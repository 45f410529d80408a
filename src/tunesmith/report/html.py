"""The report as one HTML page that opens anywhere, offline, and runs nothing that we did not write.

Three walls stand between a model's answer and the reader's browser: Jinja escapes every value; a content security
policy allows no request at all and only the two scripts whose SHA-256 it names (plotly.js and ours), so that even an
escape that failed could not run; the figures lie in the page as JSON, never as code.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from tunesmith.data.leaks import notes_of
from tunesmith.evaluation.forgetting.wording import sentences_of
from tunesmith.recipe.text import dump_recipe
from tunesmith.records.quantity import duration, hundredths, percent, points, usd, wording
from tunesmith.report import charts
from tunesmith.report.charts_cost import break_even_chart
from tunesmith.report.content import ReportInput
from tunesmith.report.cost import cost_head, cost_parts, cost_rows, cost_sentences
from tunesmith.report.data import (
    FAMILY,
    MOST_IN_ALL_PAIRS,
    changed_cases,
    corrected_p,
    differences_of,
    focus_of,
    metric_names,
    needed_examples,
    ordered_differences,
    rival_of,
    sides_of,
    worst_cases,
)
from tunesmith.report.plain import visible
from tunesmith.report.repeat import facts_of
from tunesmith.report.told import UNKNOWN, bases_told, basis_told, cost_told, time_told

HEADLINES: Mapping[str, tuple[str, str]] = {
    "prompt": ("Prompt", "On your data a prompt is enough: nothing more elaborate is shown to be worth it."),
    "rag": (
        "Retrieve",
        "On your data nothing simpler keeps up with retrieval, and nothing more elaborate is shown to be worth it.",
    ),
    "fine-tune": ("Fine-tune", "On your data nothing simpler keeps up with the tuned model."),
    "fine-tune+rag": ("Fine-tune and retrieve", "On your data nothing simpler keeps up with the two together."),
    "stop": ("Keep what you have", "Nothing that was tried is good enough, or better than what you have."),
    "cannot tell": ("Cannot tell yet", "The test examples are too few to tell."),
}


def render_html(content: ReportInput) -> str:
    """The whole page."""
    environment = Environment(
        loader=PackageLoader("tunesmith.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters |= {
        "tight": keep_together,
        "percent": lambda share: keep_together(percent(share)),
        "points": lambda share: keep_together(points(share)),
        "duration": lambda seconds: keep_together(duration(seconds)),
        "signed": lambda share: ("+" if share > 0 else "") + hundredths(share),
        "bare": hundredths,
        "usd": usd,
        "time_told": time_told,
        "cost_told": cost_told,
        "tokens": lambda number: f"{number:.0f}" if number else UNKNOWN,
        "p_value": lambda p: "< 0.001" if p < 0.001 else f"{p:.3f}",
        "wording": wording,
        "count": lambda number: f"{number:,}",
    }
    plotly, ours = get_plotlyjs(), _source(environment, "charts.js")
    return environment.get_template("report.html").render(
        plotly=Markup(plotly),
        script=Markup(ours),
        style=Markup(_source(environment, "report.css")),
        policy=content_policy(plotly, ours),
        figures={name: as_json_block(figure) for name, figure in figures_of(content).items()},
        **_parts(content),
    )


def content_policy(*scripts: str) -> str:
    """A policy that allows no request, and no script but these."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def as_json_block(value: Any) -> Markup:
    """JSON that can stand inside a script element: no `<` that could close it."""
    return Markup(json.dumps(value).replace("<", "\\u003c"))


def figures_of(content: ReportInput) -> dict[str, charts.Figure]:
    """The charts that this report can draw."""
    evaluation, winner = content.evaluation, content.decision.winner
    figures = {
        "scores": charts.scores_chart(evaluation, winner),
        "cost": charts.cost_chart(evaluation.contenders, winner),
    }
    if pairs := differences_of(evaluation, focus_of(content)):
        figures["differences"] = charts.differences_chart(evaluation, pairs, corrected_p(content))
    if content.cost is not None and (curves := break_even_chart(content.cost, winner)) is not None:
        figures["break_even"] = curves
    if content.metrics:
        best_step = content.run.result.best_step if content.run and content.run.result else None
        figures["loss"] = charts.loss_chart(content.metrics, best_step)
        score = charts.validation_score_chart(content.metrics, best_step)
        if score is not None:
            figures["score"] = score
    return figures


def _parts(content: ReportInput) -> dict[str, Any]:
    """Everything that the template names, apart from scripts and figures."""
    evaluation, decision = content.evaluation, content.decision
    winner = evaluation.contender(decision.winner) if decision.winner else None
    names = {one.name for one in evaluation.contenders}
    title, plain_words = HEADLINES[decision.verdict]
    gained, lost = changed_cases(content)
    return {
        "content": content,
        "decision": decision,
        "evaluation": evaluation,
        "title": title,
        "plain_words": plain_words,
        "winner": winner,
        "basis": basis_told(winner, evaluation) if winner else "",
        "bases": bases_told(evaluation),
        "corrected": corrected_p(content),
        "needed": needed_examples(content),
        "family": FAMILY,
        "beside": [(role, evaluation.contender(name)) for role, name in decision.beside if name in names],
        "rival": rival_of(content),
        "focus": focus_of(content),
        "metrics": metric_names(evaluation),
        "differences": ordered_differences(evaluation),
        "result": content.run.result if content.run else None,
        "worst": worst_cases(content),
        "gained": gained,
        "lost": lost,
        "facts": facts_of(content),
        "sides": sides_of(content),
        "recipe": dump_recipe(content.recipe),
        "against": focus_of(content) if len(evaluation.contenders) > MOST_IN_ALL_PAIRS else None,
        **_trust(content),
        **_costs(content),
        "analysis": content.analysis,
        "questions": {id_: example.question for id_, example in content.examples.items()},
    }


def _trust(content: ReportInput) -> dict[str, Any]:
    """What is known of the test itself, and of what tuning took away."""
    leaks, forgetting = content.leaks, content.forgetting
    trained = len(content.split.train) + (len(leaks.left_out) if leaks else 0)
    return {
        "power": content.power,
        "leaks": leaks and leaks.found,
        "leak_notes": notes_of(leaks, trained) if leaks else [],
        "looks": content.looks,
        "judge": content.qualification,
        "forgetting": forgetting,
        "forgetting_sentences": sentences_of(forgetting, content.recipe.bar.max_forgetting) if forgetting else [],
    }


def _costs(content: ReportInput) -> dict[str, Any]:
    cost = content.cost
    if cost is None:
        return {"cost": None}
    return {
        "cost": cost,
        "cost_head": cost_head(cost),
        "cost_rows": cost_rows(cost),
        "cost_sentences": cost_sentences(cost),
        "cost_parts": cost_parts(cost),
    }


def keep_together(sentence: str) -> str:
    """The sentence with no line break between a number and its unit, or inside `n = 60`."""
    return re.sub(r"(?<=\d) (?=%|points|min\b|s\b|h\b)|(?<=\bn) (?==)|(?<=\bn =) ", "\N{NO-BREAK SPACE}", sentence)


def _finalize(value: Any) -> Any:
    """Make hidden characters visible in every value that the template prints."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _source(environment: Environment, name: str) -> str:
    """A file of the templates folder as it stands."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]
