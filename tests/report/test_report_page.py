"""The HTML page: whole, inert, offline, and honest about what is missing."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest

from tunesmith.records import Requirements
from tunesmith.report import ReportInput
from tunesmith.report.html import build_figures, keep_together, render_html

ATTACKS = (
    "<script>document.title = 'owned'</script>",
    "</script><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "![beacon](https://example.org/seen.png) [click](javascript:alert(1))",
)
COLOURS = {"@accent", "@ink", "@muted", "@rule", "@bar", "@paper", "@font"}


class Page(HTMLParser):
    """Tags with their attributes, the visible text, and the content of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append((dict(attributes), ""))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and self.cdata_elem == "script":
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + data)
        elif self.cdata_elem is None:
            self.text += data


@pytest.fixture(scope="module")
def page(report: ReportInput) -> Page:
    return Page(render_html(report))


def test_the_page_tells_the_verdict_first_and_everything_after(
    page: Page, report: ReportInput
) -> None:
    sections = [
        "Fine-tune",
        "Contenders",
        "Description of the contenders",
        "Differences",
        "Cost and latency",
        "Training",
        "Loss mask",
        "Data",
        "Worst answers",
        "Changes due to tuning",
        "Better after tuning",
        "Reproduce this run",
        "Recipe",
        "Versions",
    ]
    places = [page.text.find(section) for section in sections]
    assert -1 not in places and places == sorted(places)
    for reason in report.decision.reasons:
        assert keep_together(reason) in page.text
    for fact in (
        report.command,
        report.evaluation.fingerprint,
        "5.23.0",
        "LoRA Without Regret",
        "AMD EPYC",
        "c9" * 32,
    ):
        assert fact in page.text


def test_the_page_asks_nothing_of_the_network(page: Page) -> None:
    loading = [
        (tag, name)
        for tag, found in page.tags
        for name in ("src", "href", "action", "data", "poster")
        if name in found
    ]
    assert loading == []
    assert not {tag for tag, _ in page.tags} & {
        "link",
        "iframe",
        "object",
        "embed",
        "form",
        "img",
        "base",
    }


def test_the_policy_names_the_hash_of_every_script_that_runs_and_allows_no_request(
    page: Page,
) -> None:
    policy = next(
        found["content"]
        for tag, found in page.tags
        if found.get("http-equiv") == "Content-Security-Policy"
    )
    running = [text for found, text in page.scripts if found.get("type") != "application/json"]
    assert policy is not None and len(running) == 2
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running]
    script_rule = next(rule for rule in policy.split("; ") if rule.startswith("script-src"))
    assert script_rule == "script-src " + " ".join(f"'sha256-{digest}'" for digest in hashes)
    assert policy.startswith("default-src 'none'; ") and "http" not in policy


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_answer_that_is_an_attack_is_shown_as_text(
    with_answer: Callable[[str], ReportInput], page: Page, attack: str
) -> None:
    attacked = Page(render_html(with_answer(attack)))
    assert attack in attacked.text
    assert len(attacked.scripts) == len(page.scripts)
    assert {tag for tag, _ in attacked.tags} == {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, found in attacked.tags for name in found)


def test_attacks_from_the_data_stay_text_too(report: ReportInput, page: Page) -> None:
    attack = ATTACKS[1]
    contenders = [
        one.model_copy(update={"name": attack, "description": attack}) if one.name == "rag" else one
        for one in report.evaluation.contenders
    ]
    dataset = report.check.dataset.model_copy(update={"name": attack})
    problems = [
        problem.model_copy(update={"message": attack, "code": attack})
        for problem in report.check.problems
    ]
    attacked = replace(
        report,
        command=attack,
        evaluation=report.evaluation.model_copy(update={"contenders": tuple(contenders)}),
        check=report.check.model_copy(update={"dataset": dataset, "problems": tuple(problems)}),
        defaults=[(attack, attack, attack)],
        recipe=report.recipe.model_copy(update={"model": attack}),
    )
    shown = Page(render_html(attacked))
    assert len(shown.scripts) == len(page.scripts)
    assert not any(tag == "img" for tag, _ in shown.tags)
    figures = [text for found, text in shown.scripts if found.get("type") == "application/json"]
    assert all("<img" not in json.dumps(json.loads(text)) for text in figures)


def test_hidden_characters_are_spelled_out(with_answer: Callable[[str], ReportInput]) -> None:
    shown = Page(render_html(with_answer("safe\u202egnp.exe\x1b[31m\ud800")))
    assert "safe⟨U+202E⟩gnp.exe⟨U+001B⟩[31m⟨U+D800⟩" in shown.text


def test_trained_tokens_are_marked_and_only_they(report: ReportInput) -> None:
    html = render_html(report)
    shown = html[html.index("Loss mask") : html.index("Worst answers")]
    marked = re.findall(r"<mark>(.*?)</mark>", shown, re.DOTALL)
    assert report.mask is not None
    assert len(marked) == 1 + len(report.mask.examples)
    assert all("im_end" in text and "assistant" not in text for text in marked[1:])


def test_nothing_was_trained_and_the_page_leaves_it_out(report: ReportInput) -> None:
    baselines = [one for one in report.evaluation.contenders if "tuned" not in one.name]
    kept = {one.name for one in baselines}
    comparisons = [pair for pair in report.evaluation.comparisons if {pair.a, pair.b} <= kept]
    evaluation = report.evaluation.model_copy(
        update={"contenders": tuple(baselines), "comparisons": tuple(comparisons)}
    )
    decision = report.decision.model_copy(update={"verdict": "rag", "winner": "rag"})
    bare = replace(
        report,
        run=None,
        mask=None,
        metrics=(),
        evaluation=evaluation,
        decision=decision,
        defaults=(),
    )
    shown = Page(render_html(bare))
    for section in (
        "Training",
        "Loss mask",
        "Changes due to tuning",
        "Versions",
        "Defaults used",
    ):
        assert section not in shown.text
    assert (
        "Worst answers" in shown.text
        and "The test examples with the lowest scores of rag" in shown.text
    )


@pytest.mark.parametrize(
    ("bar", "title"),
    [
        (Requirements(min_score=0.999), "Keep what you have"),
        (Requirements(min_score=0.95), "No verdict yet"),
    ],
)
def test_a_verdict_without_winner_has_a_page(
    report: ReportInput, bar: Requirements, title: str
) -> None:
    from tunesmith.decision import decide

    shown = Page(render_html(replace(report, decision=decide(report.evaluation, bar))))
    assert title in shown.text
    assert "The test examples with the lowest scores of tuned" in shown.text


def test_an_evaluation_of_one_contender_has_a_page(report: ReportInput) -> None:
    one = report.evaluation.get_contender("zero-shot").model_copy(update={"metrics": {}})
    evaluation = report.evaluation.model_copy(update={"contenders": (one,), "comparisons": ()})
    decision = report.decision.model_copy(update={"verdict": "stop", "winner": None})
    shown = Page(
        render_html(
            replace(
                report, evaluation=evaluation, decision=decision, run=None, metrics=(), mask=None
            )
        )
    )
    assert (
        "no score" in shown.text
        and "Worst answers" not in shown.text
        and "Differences" not in shown.text
    )


def test_a_long_answer_is_shown_whole(with_answer: Callable[[str], ReportInput]) -> None:
    long = "word " * 400
    shown = Page(render_html(with_answer(long)))
    assert "all 2,000 characters" in shown.text and long in shown.text


def test_a_number_stays_with_its_unit_and_nothing_else_changes() -> None:
    sentence = "It beats a by 80.6 points (95 % interval 73.3 to 87.8, n = 60) in 8 min: noise."
    told = keep_together(sentence)
    assert told.replace("\N{NO-BREAK SPACE}", " ") == sentence
    assert [piece for piece in told.split(" ") if "\N{NO-BREAK SPACE}" in piece] == [
        "80.6\N{NO-BREAK SPACE}points",
        "(95\N{NO-BREAK SPACE}%",
        "n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}60)",
        "8\N{NO-BREAK SPACE}min:",
    ]


def test_plotly_accepts_every_figure(report: ReportInput) -> None:
    figures = build_figures(report)
    assert set(figures) == {"scores", "differences", "cost", "loss", "score"}
    for figure in figures.values():
        text = json.dumps(figure)
        assert set(re.findall(r'"(@\w+)"', text)) <= COLOURS
        go.Figure(
            json.loads(re.sub(r'"@font"', '"serif"', re.sub(r'"@(?!font)\w+"', '"#000000"', text)))
        )


def test_figures_hold_the_numbers_of_the_records(report: ReportInput) -> None:
    scores = {
        trace["y"][0]: trace["x"][0] / 100 for trace in build_figures(report)["scores"]["data"]
    }
    assert scores == pytest.approx(
        {one.name: one.metrics["field_f1"].value for one in report.evaluation.contenders}
    )
    for trace in build_figures(report)["differences"]["data"]:
        reaches_zero = trace["x"][0] - trace["error_x"]["arrayminus"][0] <= 0
        assert (trace["marker"]["color"] == "@paper") == reaches_zero
