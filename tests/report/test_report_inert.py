"""Sentences of a Markdown report are sentences, and what data say in them stays text."""

import re

import pytest

from tunesmith.report.text_escaping import escape_markdown, format_code


@pytest.mark.parametrize(
    ("said", "written"),
    [
        (
            "Add 6 examples of card_arrival: 3 of 9 errors.",
            "Add 6 examples of card_arrival: 3 of 9 errors.",
        ),
        ("p < 0.001, 5 > 4", "p < 0.001, 5 > 4"),
        ("<img src=x> & &lt; </b>", "&lt;img src=x> & &amp;lt; &lt;/b>"),
        ("![x](http://a.example)", "!\\[x\\](http\\://a.example)"),
        ("see www.a.example", "see www\\.a.example"),
        ("a | b `c` *d* _e_", "a \\| b \\`c\\` \\*d\\* \\_e\\_"),
        ("# not a head\nline", "\\# not a head line"),
        ("\u202eback", "⟨U+202E⟩back"),
    ],
)
def test_what_markdown_would_act_on_is_escaped_and_the_rest_reads_as_it_is(
    said: str, written: str
) -> None:
    assert escape_markdown(said) == written


@pytest.mark.parametrize("text", ["a|b", "a\\|b", "a\\\\|b", "\\||\\|", "|"])
def test_no_pipe_in_a_code_span_ends_its_cell(text: str) -> None:
    """emiliaprotocol/emilia-protocol#282: a backslash before the pipe takes its escape, and the
    columns shift."""
    assert re.sub(r"\\[!-/:-@\[-`{-~]", "", format_code(text)).count("|") == 0
