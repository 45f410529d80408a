"""The three files: where they lie, what is in them, what an answer cannot do to the Markdown, which
examples stand."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from tunesmith.decision import decide
from tunesmith.records import Contender, Quantity, Requirements, TokenPrice, Usage
from tunesmith.report import ReportInput, build_report_json, write_report
from tunesmith.report.html import build_figures, render_html
from tunesmith.report.markdown import render_markdown
from tunesmith.report.report_data import (
    choose_focus,
    collect_corrected_p,
    collect_required_examples,
    find_changed_examples,
    find_main_comparison,
    find_worst_examples,
    format_split_sizes,
)
from tunesmith.report.text_escaping import escape_markdown, format_code


def test_three_files_are_written_and_replaced(report: ReportInput, tmp_path: Path) -> None:
    for _ in range(2):
        paths = write_report(tmp_path, report)
        assert [path.name for path in paths] == ["report.html", "report.md", "report.json"]
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "report.html",
            "report.json",
            "report.md",
        ]
    assert json.loads(paths[2].read_text()) == json.loads(
        json.dumps(build_report_json(report, paths[0]))
    )
    assert paths[1].read_text() == render_markdown(report)


def test_report_json_has_the_fields_of_decide(report: ReportInput) -> None:
    told = build_report_json(report, Path("runs/x/report.html"))
    assert {"verdict", "reasons", "contenders", "comparisons", "run", "report"} <= set(told)
    assert (told["verdict"], told["run"], told["report"]) == (
        "fine-tune",
        "names-20261123-2104-5af5",
        "runs/x/report.html",
    )
    for contender in told["contenders"]:
        assert {"name", "metrics", "seconds_per_request", "usd_per_1000"} <= set(contender)
        assert all(
            {"value", "low", "high", "n"} <= set(metric) for metric in contender["metrics"].values()
        )
    for comparison in told["comparisons"]:
        assert {"a", "b", "metric", "difference", "low", "high", "p"} <= set(comparison)
    assert build_report_json(replace(report, run=None), Path("r"))["run"] is None


def test_markdown_is_short_and_has_its_numbers(report: ReportInput) -> None:
    text = render_markdown(report)
    assert len(text.splitlines()) < 90
    assert text.startswith("# Verdict: fine-tune\n")
    assert "| **tuned** | 93.9 % (90.0 to 97.8) |" in text
    assert all(f"- {escape_markdown(reason)}" in text for reason in report.decision.reasons)
    assert "`" not in text.partition("## Training")[0]  # sentences are no code


def test_both_reports_tell_the_energy_of_a_training_where_it_is_known(report: ReportInput) -> None:
    assert "peak memory 1.4 GiB; energy 12.3 kJ." in render_markdown(report)
    assert "peak memory 1.4 GiB; energy 12.3 kJ." in " ".join(render_html(report).split())
    assert report.run is not None and report.run.result is not None
    untold = report.run.result.model_copy(update={"energy_joules": None})
    bare = replace(report, run=report.run.model_copy(update={"result": untold}))
    assert "peak memory 1.4 GiB." in render_markdown(bare) and "12.3 kJ" not in render_html(bare)


def test_the_data_section_says_how_many_examples_were_used(report: ReportInput) -> None:
    told = "2,996 train, 64 of 428 validation and 60 of 857 test examples"
    assert format_split_sizes(report) == told
    assert f"{told}." in render_markdown(report) and f"{told}, split by" in " ".join(
        unescape(render_html(report)).split()
    )
    untrained = replace(report, run=None)
    assert format_split_sizes(untrained).startswith("2,996 train, 428 validation and")
    whole = report.split.model_copy(update={"test": report.evaluation.examples})
    assert format_split_sizes(replace(report, split=whole)).endswith("and 60 test examples")


def test_amounts_in_a_column_have_the_same_number_of_digits(report: ReportInput) -> None:
    contenders = [
        one.model_copy(update={"usd_per_1000": price})
        for one, price in zip(
            report.evaluation.contenders, (0.004, 0.0037, 0.012, 0.02, 0.1), strict=True
        )
    ]
    evaluation = report.evaluation.model_copy(update={"contenders": tuple(contenders)})
    priced = replace(report, evaluation=evaluation, decision=decide(evaluation, Requirements()))
    for told in ("$0.0040", "$0.0037", "$0.0120", "$0.0200", "$0.1000"):
        assert f"| {told} |" in render_markdown(priced)
        assert f'<td class="number">{told}</td>' in render_html(priced)
        assert any(told in reason for reason in priced.decision.reasons)


@pytest.mark.parametrize(
    "answer",
    ["![x](https://example.org/a.png)", "<img src=x>", "`` ` ``", "a | b\n\n# heading", ""],
)
def test_an_answer_in_markdown_is_an_inert_code_span_in_one_cell(
    with_answer: Callable[[str], ReportInput], report: ReportInput, answer: str
) -> None:
    text, plain = render_markdown(with_answer(answer)), render_markdown(report)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = {
        len(re.findall(r"(?<!\\)\|", row))
        for row in rows[rows.index(next(r for r in rows if "| question |" in r)) :]
    }
    assert cells == {5}
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        line for line in plain.splitlines() if line.startswith("#")
    ]
    assert format_code(answer) in text


def test_a_code_span_says_what_it_leaves_out() -> None:
    assert format_code("a" * 250) == f"` {'a' * 200} … (50 more characters) `"
    assert format_code("one `` two") == "``` one `` two ```"


def test_the_worst_ten_are_those_of_the_winner_and_failures_come_first(report: ReportInput) -> None:
    assert choose_focus(report) == "tuned"
    failed = report.answers["tuned"][7].model_copy(update={"scores": {}, "error": "out of memory"})
    answers = [*report.answers["tuned"][:7], failed, *report.answers["tuned"][8:]]
    cases = find_worst_examples(replace(report, answers={**report.answers, "tuned": answers}))
    wrong = sum(not answer.scores or answer.scores["field_f1"] < 1 for answer in answers)
    assert len(cases) == min(10, wrong)
    assert cases[0].answers[-1][1].error == "out of memory"
    scores = [
        next(score for name, _, score in case.answers if name == "tuned") for case in cases[1:]
    ]
    assert scores == sorted(scores) and max(scores) < 1
    everyone = sorted(answer.scores["field_f1"] for answer in answers if answer.scores)
    assert scores == everyone[: len(scores)]


def test_changed_examples_are_the_largest_changes_on_both_sides(report: ReportInput) -> None:
    gained, lost = find_changed_examples(report)
    changes = [case.answers[1][2] - case.answers[0][2] for case in gained]
    assert changes == sorted(changes, reverse=True) and min(changes) > 0
    assert len(gained) + len(lost) == 10 and 0 < len(lost) <= 5
    assert all(case.answers[1][2] < case.answers[0][2] for case in lost)
    assert [name for name, _, _ in gained[0].answers] == ["rag", "tuned"]


def test_the_rival_is_turned_so_that_the_winner_stands_first(report: ReportInput) -> None:
    """The tile says what is gained over the simplest contender; the winner being that, how far the
    best other is."""
    rival = find_main_comparison(report)
    assert (
        rival is not None and (rival.a, rival.b) == ("tuned", "zero-shot") and rival.difference > 0
    )
    prompt = replace(
        report, decision=report.decision.model_copy(update={"winner": "zero-shot", "gain": None})
    )
    other = find_main_comparison(prompt)
    assert other is not None and other.a == "zero-shot" and other.difference < 0
    best = max(
        report.evaluation.contenders, key=lambda one: one.metrics[report.evaluation.metric].value
    )
    assert other.b == best.name


def _with(report: ReportInput, **contenders: Contender) -> ReportInput:
    """The same with some contenders replaced by name."""
    kept = tuple(
        contenders.get(one.name.replace("-", "_"), one) for one in report.evaluation.contenders
    )
    evaluation = report.evaluation.model_copy(update={"contenders": kept})
    return replace(report, evaluation=evaluation, decision=decide(evaluation, Requirements()))


def test_what_nobody_knows_is_no_zero_in_any_format(report: ReportInput) -> None:
    today = report.evaluation.get_contender("zero-shot").model_copy(
        update={
            "kind": "outside",
            "usd_per_1000": 0.0,
            "seconds_per_request": 0.0,
            "tokens_in_per_request": 0.0,
        }
    )
    told = _with(report, zero_shot=today)
    text, page = render_markdown(told), render_html(told)
    assert "| unknown | unknown |" in text and '<td class="number">unknown</td>' in page
    assert not re.search(r"\$0\.00(?!\d)|(?<![\d.])0 s\b", text)
    chart = build_figures(told)["cost"]["data"][0]
    assert dict(zip(chart["y"], chart["text"], strict=True))["zero-shot"] == "unknown"
    told_price = Usage(requests=60, tokens_in=0, tokens_out=0, seconds=0.0, usd_charged=0.06)
    priced = _with(
        report, zero_shot=today.model_copy(update={"usd_per_1000": 1.0, "usage": told_price})
    )
    chart = build_figures(priced)["cost"]["data"][0]
    assert dict(zip(chart["y"], chart["text"], strict=True))["zero-shot"].endswith(" · unknown")
    assert "for zero-shot on the values in its file, if any." in unescape(render_html(priced))


def test_a_winner_that_is_charged_by_the_token_is_said_to_be(report: ReportInput) -> None:
    price = TokenPrice(usd_per_million_in=1, usd_per_million_out=2, source="the recipe", date="")
    tuned = report.evaluation.get_contender("tuned").model_copy(update={"token_price": price})
    page = unescape(render_html(_with(report, tuned=tuned)))
    assert ", charged per token</small>" in page and ", at $0.10 per hour</small>" not in page
    assert "$0.10 per hour for this machine, for tuned on token prices." in page
    assert ", at $0.10 per hour</small>" in render_html(report)


def test_missing_answers_are_counted_and_none_at_all_is_no_score_of_zero(
    report: ReportInput,
) -> None:
    none = Quantity(value=0.0, low=0.0, high=1.0, n=0, n_failed=60)
    silent = report.evaluation.get_contender("zero-shot").model_copy(
        update={"metrics": {"field_f1": none}}
    )
    told = _with(report, zero_shot=silent)
    assert "| zero-shot | no score | no score | 60 |" in render_markdown(told)
    assert "no score" not in render_markdown(report)
    assert "zero-shot" not in [trace["y"][0] for trace in build_figures(told)["scores"]["data"]]


def test_a_difference_has_the_p_and_the_needed_examples_of_the_verdict(report: ReportInput) -> None:
    """One family for the whole report: a pair is hollow where the verdict's own corrected p leaves
    it open."""
    pairs = [
        pair.model_copy(
            update={"p": 0.02, "low": 0.01, "difference": 0.1, "high": 0.2, "required_n": 200}
        )
        for pair in report.evaluation.comparisons
    ]
    evaluation = report.evaluation.model_copy(update={"comparisons": tuple(pairs)})
    decision = decide(evaluation, Requirements())
    told = replace(report, evaluation=evaluation, decision=decision)
    one = next(pair for pair in decision.pairs if {pair.a, pair.b} == {"few-shot", "tuned+rag"})
    corrected = collect_corrected_p(told)
    assert corrected["few-shot", "tuned+rag"] == corrected["tuned+rag", "few-shot"] == one.p > 0.02
    assert collect_required_examples(told).get(("few-shot", "tuned+rag")) == one.required_n
    assert f"| 0.02 | {one.p:.2g} |" in render_markdown(told)
    assert "a simpler contender with all more complex ones" in render_markdown(told)
    assert "(Holm&#39;s method)" in render_html(told) and "corrected for the" not in render_html(
        told
    )
    colors = {trace["marker"]["color"] for trace in build_figures(told)["differences"]["data"]}
    assert colors == (
        {"@accent"} if all(p <= 0.05 for p in corrected.values()) else {"@accent", "@paper"}
    )
