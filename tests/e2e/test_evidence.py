"""explore"""
import contextlib, io, json, re
from pathlib import Path
from typing import NamedTuple, Any
import pytest
from door import Door, Printed
from tunesmith.cli.main import run
from tunesmith.runs.folder import RunFolder
from tunesmith.testing.fake_openai import FakeOpenAI

CANARY = "sk-canary-7f3a91c0"
LABELS = ("red", "green", "<b>x</b>")

def colour_in(question: str) -> str:
    return max(LABELS, key=question.rfind)

@pytest.fixture(scope="module")
def rich(settings, home, tmp_path_factory):
    place = tmp_path_factory.mktemp("rich")
    rows = [(f"{i} thing{i % 13} is painted {LABELS[i * 7 % 3]}", LABELS[i * 7 % 3]) for i in range(96)]
    data = place / "labels.csv"
    data.write_text("prompt,completion\n" + "".join(f"{q},{a}\n" for q, a in rows))
    docs = place / "docs"; docs.mkdir()
    for n, c in enumerate(LABELS):
        (docs / f"{n}.md").write_text(f"# {c}\n\nA thing painted {c} is {c}. <script>alert(1)</script>\n" * 3)
    other = place / "<i>their answers.csv"
    other.write_text("question,answer\n" + "".join(f"{q},{a}\n" for q, a in rows))
    with FakeOpenAI(colour_in) as service:
        remote = json.dumps([dict(name="acme", url=service.url, model="fake", key_variable="ACME_KEY", usd_per_million_in=1, usd_per_million_out=2)])
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as p, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            p.setenv("ACME_KEY", CANARY)
            code = run(["decide", str(data), "--json", "--out", str(place / "runs"), *settings, "--documents", str(docs), "--answers", str(other),
               "--set", f"evaluation.remote={remote}"])
    return code, out.getvalue(), err.getvalue(), service, place

def test_x(rich):
    code, out, err, service, place = rich
    print(err); print(out[:6000]); print(len(service.requests))
    assert 0
