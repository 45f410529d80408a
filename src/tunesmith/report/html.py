"""The report as one HTML page that opens anywhere, offline, and runs no foreign code.

Three barriers protect the reader's browser from a model's answers: Jinja escapes every value; a
content security policy allows no request at all and only the two scripts whose SHA-256 it lists
(plotly.js and ours), so that even a missed escape could not run; and the figures are embedded as
JSON, never as code.
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

from tunesmith.data.contamination import describe_contamination
from tunesmith.evaluation.forgetting.forgetting_summary import describe_forgetting
from tunesmith.recipe.recipe_yaml import dump_recipe
from tunesmith.records.quantity import (
    format_duration,
    format_metric_name,
    format_percent,
    format_points,
    format_points_number,
    format_usd,
)
from tunesmith.report import charts
from tunesmith.report.break_even_chart import build_break_even_chart
from tunesmith.report.cost_table import (
    UNKNOWN,
    build_cost_rows,
    format_cost,
    format_cost_bases,
    format_cost_basis,
    format_cost_sentences,
    format_time,
    list_cost_columns,
    list_cost_parts,
)
from tunesmith.report.report_data import (
    CORRECTION_NOTE,
    MAX_ALL_PAIRS_CONTENDERS,
    choose_focus,
    collect_corrected_p,
    collect_required_examples,
    find_changed_examples,
    find_main_comparison,
    find_worst_examples,
    format_split_sizes,
    list_metric_names,
    select_differences,
    sort_differences,
)
from tunesmith.report.report_input import ReportInput
from tunesmith.report.text_escaping import reveal_hidden_characters

HEADLINES: Mapping[str, tuple[str, str]] = {
    "prompt": (
        "Prompt",
        "On your data a prompt is enough: no more complex approach is shown to be worth it.",
    ),
    "rag": (
        "Retrieve",
        (
            "On your data no simpler approach is as good as retrieval, and no more complex "
            "one is shown to be worth it."
        ),
    ),
    "fine-tune": ("Fine-tune", "On your data no simpler approach is as good as the tuned model."),
    "fine-tune+rag": (
        "Fine-tune and retrieve",
        "On your data no simpler approach is as good as the tuned model with retrieval.",
    ),
    "stop": (
        "Keep what you have",
        "No contender is good enough, or better than what you have.",
    ),
    "cannot tell": ("No verdict yet", "There is not enough evidence for a verdict."),
}
"""Verdict -> title and plain sentence of the page."""


def render_html(content: ReportInput) -> str:
    """The whole page."""
    environment = Environment(
        loader=PackageLoader("tunesmith.report"),
        autoescape=True,
        # A misspelled name in a template is an error instead of an empty cell.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Runs on every printed value before escaping, so no template can forget it.
        finalize=_finalize,
    )
    environment.filters |= {
        "tight": keep_together,
        "percent": lambda share: keep_together(format_percent(share)),
        "points": lambda share: keep_together(format_points(share)),
        "duration": lambda seconds: keep_together(format_duration(seconds)),
        "signed": lambda share: ("+" if share > 0 else "") + format_points_number(share),
        "bare": format_points_number,
        "usd": format_usd,
        "time_told": format_time,
        "cost_told": format_cost,
        "tokens": lambda number: f"{number:.0f}" if number else UNKNOWN,
        "p_value": lambda p: "< 0.001" if p < 0.001 else f"{p:.3f}",
        "wording": format_metric_name,
        "count": lambda number: f"{number:,}",
    }
    plotly, ours = get_plotlyjs(), _read_template_source(environment, "charts.js")
    return environment.get_template("report.html").render(
        plotly=Markup(plotly),
        script=Markup(ours),
        style=Markup(_read_template_source(environment, "report.css")),
        policy=build_content_policy(plotly, ours),
        figures={name: to_json_block(figure) for name, figure in build_figures(content).items()},
        **_build_template_context(content),
    )


def build_content_policy(*scripts: str) -> str:
    """A content security policy that allows no request and only these scripts."""
    hashes = (
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    )
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:;"
        " base-uri 'none'; form-action 'none'"
    )


def to_json_block(value: Any) -> Markup:
    """JSON that is safe inside a script element: it contains no `<` that could close the
    element.
    """
    # `</script>` inside a JSON string would end the element for the HTML parser.
    return Markup(json.dumps(value).replace("<", "\\u003c"))


def build_figures(content: ReportInput) -> dict[str, charts.Figure]:
    """The charts that can be drawn from this report."""
    evaluation, winner = content.evaluation, content.decision.winner
    figures = {
        "scores": charts.build_scores_chart(evaluation, winner),
        "cost": charts.build_cost_chart(evaluation.contenders, winner),
    }
    if pairs := select_differences(evaluation, choose_focus(content)):
        figures["differences"] = charts.build_differences_chart(
            evaluation, pairs, collect_corrected_p(content)
        )
    if (
        content.cost is not None
        and (curves := build_break_even_chart(content.cost, winner)) is not None
    ):
        figures["break_even"] = curves
    if content.metrics:
        best_step = content.run.result.best_step if content.run and content.run.result else None
        figures["loss"] = charts.build_loss_chart(content.metrics, best_step)
        score = charts.build_validation_score_chart(content.metrics, best_step)
        if score is not None:
            figures["score"] = score
    return figures


def _build_template_context(content: ReportInput) -> dict[str, Any]:
    """All variables of the template, except scripts and figures."""
    evaluation, decision = content.evaluation, content.decision
    winner = evaluation.get_contender(decision.winner) if decision.winner else None
    # Older decisions may name a contender in `beside` that this evaluation lacks.
    names = {one.name for one in evaluation.contenders}
    title, plain_words = HEADLINES[decision.verdict]
    gained, lost = find_changed_examples(content)
    return {
        "content": content,
        "decision": decision,
        "evaluation": evaluation,
        "title": title,
        "plain_words": plain_words,
        "winner": winner,
        "basis": format_cost_basis(winner, evaluation) if winner else "",
        "bases": format_cost_bases(evaluation),
        "corrected": collect_corrected_p(content),
        "needed": collect_required_examples(content),
        "family": CORRECTION_NOTE,
        "beside": [
            (role, evaluation.get_contender(name))
            for role, name in decision.key_contenders
            if name in names
        ],
        "rival": find_main_comparison(content),
        "focus": choose_focus(content),
        "metrics": list_metric_names(evaluation),
        "differences": sort_differences(evaluation),
        "result": content.run.result if content.run else None,
        "worst": find_worst_examples(content),
        "gained": gained,
        "lost": lost,
        "facts": build_fact_tables(content),
        "sides": format_split_sizes(content),
        "recipe": dump_recipe(content.recipe),
        "against": (
            choose_focus(content) if len(evaluation.contenders) > MAX_ALL_PAIRS_CONTENDERS else None
        ),
        **_build_trust_context(content),
        **_build_cost_context(content),
        "analysis": content.analysis,
        "questions": {id_: example.question for id_, example in content.examples.items()},
    }


def _build_trust_context(content: ReportInput) -> dict[str, Any]:
    """Variables about the test set itself, and about forgetting."""
    leaks, forgetting = content.contamination, content.forgetting
    trained = len(content.split.train) + (len(leaks.removed_train_ids) if leaks else 0)
    return {
        "power": content.power,
        "leaks": leaks and leaks.examples,
        "leak_notes": describe_contamination(leaks, trained) if leaks else [],
        "looks": content.test_set_access,
        "judge": content.qualification,
        "forgetting": forgetting,
        "forgetting_sentences": (
            describe_forgetting(forgetting, content.recipe.requirements.max_forgetting)
            if forgetting
            else []
        ),
    }


def _build_cost_context(content: ReportInput) -> dict[str, Any]:
    cost = content.cost
    if cost is None:
        return {"cost": None}
    return {
        "cost": cost,
        "cost_head": list_cost_columns(cost),
        "cost_rows": build_cost_rows(cost),
        "cost_sentences": format_cost_sentences(cost),
        "cost_parts": list_cost_parts(cost),
    }


def keep_together(sentence: str) -> str:
    """The sentence without a line break between a number and its unit, or inside `n = 60`."""
    return re.sub(
        r"(?<=\d) (?=%|points|min\b|s\b|h\b)|(?<=\bn) (?==)|(?<=\bn =) ",
        "\N{NO-BREAK SPACE}",
        sentence,
    )


def _finalize(value: Any) -> Any:
    """Make hidden characters visible in every value that the template prints."""
    return (
        reveal_hidden_characters(value)
        if isinstance(value, str) and not isinstance(value, Markup)
        else value
    )


def _read_template_source(environment: Environment, name: str) -> str:
    """A file of the templates folder, unrendered."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


FactTable = tuple[str, list[tuple[str, str]]]
"""(title, rows of (name, value))."""


def build_fact_tables(content: ReportInput) -> list[FactTable]:
    """Titled tables of (name, value); without a run only the data."""
    dataset, split = content.check.dataset, content.split
    tables: list[FactTable] = [
        (
            "Data",
            [
                ("content", dataset.content),
                *(
                    (f"{file.path}, {file.size_bytes:,} bytes", file.sha256)
                    for file in dataset.files
                ),
                ("split", split.fingerprint),
                ("evaluation", content.evaluation.fingerprint),
            ],
        )
    ]
    if content.run is None:
        return tables
    run, machine = content.run, content.run.machine
    model = run.trained_model
    place = f"{model.source}, revision {model.revision}" if model.revision else model.source
    hardware = [
        ("platform", machine.platform),
        ("processor", f"{machine.processor}, {machine.cores} cores"),
        ("memory", f"{machine.memory_bytes / 2**30:.1f} GiB"),
        ("accelerator", machine.accelerator or "none"),
    ]
    return [
        (
            "Run",
            [
                ("id", run.id),
                ("created", run.created),
                *((f"seed: {name}", str(n)) for name, n in run.seeds.items()),
            ],
        ),
        ("Model", [("name", f"{model.name} ({place})"), *model.files.items()]),
        *tables,
        ("Machine", hardware),
        ("Versions", list(run.versions.items())),
    ]
