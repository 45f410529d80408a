"""The evidence end to end: remote and outside contenders, documents, judges, own scorers, gates,
deciding again."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import zlib
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from door import Printed

from tunesmith import failpoints
from tunesmith.cli.main import run
from tunesmith.records import (
    ContaminationReport,
    CostReport,
    Decision,
    Evaluation,
    Forgetting,
    JudgeQualification,
    TestSet,
)
from tunesmith.runs.run_folder import RunFolder
from tunesmith.store.store import Store
from tunesmith.testing.fake_openai import FakeOpenAI, Reply, make_chat_completion, make_error_reply

CANARY = "sk-canary-7f3a91c0"
LABELS = ("red", "green", "<b>x</b>")
HOSTILE = "<img src=x onerror=alert(1)>\u202e"
SHORT = (
    "requirements.max_forgetting=null",
    "evaluation.prompt_trials=0",
    "evaluation.max_shots=1",
    "evaluation.constrained=false",
)
"""What a test is not about is left out."""
WAYS = [
    "zero-shot",
    "zero-shot-constrained",
    "zero-shot+labels",
    "few-shot",
    "searched",
    "rag",
    "rag-documents",
]


class Decided(NamedTuple):
    printed: Printed
    folder: RunFolder

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder.path / "report.json").read_text())
        return document

    @property
    def contenders(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.document["contenders"]}


def call(*words: object, **variables: str) -> Printed:
    """One command line in this process, for fixtures that many tests share."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([str(word) for word in words])
    return Printed(code, out.getvalue(), err.getvalue())


def decide(
    out: Path, data: Path, settings: Sequence[str], *words: object, code: int = 0, **variables: str
) -> Decided:
    printed = call("decide", data, "--json", "--out", out, *settings, *words, **variables)
    assert printed.code == code, printed.err
    (folder,) = out.iterdir()
    return Decided(printed, RunFolder.open(folder))


def sets(*changes: str) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def refused(printed: Printed, code: int, name: str) -> str:
    """One message without a traceback, and one JSON document; the message."""
    assert printed.code == code, printed.err
    messages = [line for line in printed.err.splitlines() if line.startswith("error[")]
    assert len(messages) == 1 and "Traceback" not in printed.err
    assert printed.document["error"]["code"] == name, messages[0]
    return printed.err[printed.err.index(messages[0]) :]


def rows(count: int, first: int = 0) -> list[tuple[str, str]]:
    return [
        (f"{i} thing{i % 13} is painted {LABELS[i * 7 % 3]}", LABELS[i * 7 % 3])
        for i in range(first, first + count)
    ]


def written(path: Path, lines: Sequence[tuple[str, ...]], head: str = "prompt,completion") -> Path:
    path.write_text("\n".join([head, *(",".join(line) for line in lines)]) + "\n", encoding="utf-8")
    return path


def colour_in(question: str) -> str:
    """What a good model would say: the label that is named last."""
    return max(LABELS, key=question.rfind)


def hostile(question: str) -> str:
    """The same, but for a third of the questions."""
    return HOSTILE if zlib.crc32(question[-30:].encode()) % 3 == 0 else colour_in(question)


def remotes(service: FakeOpenAI, name: str = "acme", **parts: object) -> list[str]:
    remote = {
        "name": name,
        "base_url": service.url,
        "model": "fake",
        "api_key_env": "ACME_KEY",
        "max_concurrency": 8,
    }
    priced = {"usd_per_million_in": 1, "usd_per_million_out": 2}
    return sets(f"evaluation.remote={json.dumps([{**remote, **priced, **parts}])}")


def without_key(*places: Path) -> bool:
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    return bool(files) and not any(CANARY.encode() in file.read_bytes() for file in files)


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("data") / "coloured.csv", rows(96))


@pytest.fixture(scope="module")
def short(settings: list[str]) -> list[str]:
    return [*settings, *sets(*SHORT)]


@pytest.fixture(scope="module")
def rich(
    coloured: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Decided]:
    """Everything that can take part: documents, a remote model, answers of another system with
    hostile names."""
    place = tmp_path_factory.mktemp("rich")
    (documents := place / "documents").mkdir()
    for number, colour in enumerate(LABELS):
        text = (
            f"# {colour}\n\nA thing painted {colour} is {colour}. <script>alert(1)</script>\n" * 3
        )
        (documents / f"{number}.md").write_text(text)
    other = written(
        place / "<i>their answers.csv",
        [(question, hostile(question)) for question, _ in rows(96)],
        "question,answer",
    )
    with FakeOpenAI(hostile) as service:
        yield decide(
            place / "runs",
            coloured,
            settings,
            "--documents",
            documents,
            "--external-answers",
            other,
            *remotes(service),
            ACME_KEY=CANARY,
        )
        sent = {headers.get("authorization") for headers in service.headers}
        assert sent == {f"Bearer {CANARY}"}


def test_a_remote_model_takes_part_in_every_way_that_the_base_model_does(rich: Decided) -> None:
    mine = [f"acme+{way}" for way in WAYS]
    assert [name for name in rich.contenders if name.startswith("acme+")] == mine
    assert [name for name in rich.contenders if name in WAYS] == WAYS
    assert [rich.contenders[f"acme+{way}"]["kind"] for way in WAYS] == [
        rich.contenders[way]["kind"] for way in WAYS
    ]
    first = rich.contenders["acme+zero-shot"]
    assert (
        first["metrics"]["accuracy"]["value"] > 0.4
        and "fake at http://127.0.0.1" in first["description"]
    )
    price = first["tokens_in_per_request"] * 1e-6 + first["tokens_out_per_request"] * 2e-6
    assert (
        first["usd_per_1000"] == pytest.approx(1000 * price)
        and first["token_price"]["source"] == "the recipe"
    )


def test_the_key_of_a_remote_model_is_in_no_file_and_in_no_output(
    rich: Decided, home: Path
) -> None:
    assert without_key(rich.folder.path, home)
    assert CANARY not in rich.printed.out + rich.printed.err


def test_answers_of_another_system_are_a_contender_called_as_their_file(rich: Decided) -> None:
    other = rich.contenders["i-their-answers"]
    assert other["kind"] == "outside" and "<i>their answers.csv" in other["description"]
    assert 0 < other["metrics"]["accuracy"]["value"] < 1 and other["metrics"]["accuracy"]["n"] == 12
    with Store.open() as store:
        assert store.get_run(rich.folder.id).run.status == "finished"


def test_documents_are_read_before_and_after_tuning(rich: Decided) -> None:
    for name in ("rag-documents", "tuned+rag-documents", "acme+rag-documents"):
        contender = rich.contenders[name]
        assert (
            "passages of" in contender["description"] and contender["retrieval_hit_rate"]["n"] == 12
        )
    assert rich.contenders["rag"]["retrieval_hit_rate"]["value"] > 0
    assert "documents" in rich.contenders["tuned+rag-documents"]["description"]
    assert "Retrieval hit rate" in (rich.folder.path / "report.html").read_text()


class _Page(HTMLParser):
    """The tags of a page, with the attributes that run something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.handlers: list[str] = []
        self.policies: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.handlers += [
            name
            for name, value in attrs
            if name.startswith("on") or (value or "").startswith("javascript")
        ]
        self.policies += [
            value or ""
            for name, value in attrs
            if name == "content" and "script-src" in (value or "")
        ]


def test_what_data_say_is_inert_in_the_reports(rich: Decided) -> None:
    text = (rich.folder.path / "report.html").read_text()
    assert "&lt;b&gt;x&lt;/b&gt;" in text and "&lt;img src=x onerror=alert(1)&gt;⟨U+202E⟩" in text
    assert "\u202e" not in text and "<b>x" not in text and "alert(1)</script>" not in text
    page = _Page()
    page.feed(text)
    assert not page.tags & {"b", "i", "img"} and not page.handlers and len(page.policies) == 1
    markdown = (rich.folder.path / "report.md").read_text()
    assert "&lt;i>their answers" in markdown and "\u202e" not in markdown
    assert not re.search("<(?! )", re.sub(r"(`+) .*? \1", "", markdown)), (
        "no tag of the data is one in Markdown"
    )
    assert "\u202e" not in rich.printed.err


def test_forgetting_is_measured_unless_it_is_switched_off(rich: Decided, leaky: Decided) -> None:
    assert rich.folder.has(Forgetting) and rich.document["forgetting"] is not None
    assert "## Forgetting" in (rich.folder.path / "report.md").read_text()
    assert not leaky.folder.has(Forgetting) and leaky.document["forgetting"] is None
    assert leaky.folder.read(Decision).forgetting is None
    assert "general ability" in rich.printed.err and "general ability" not in leaky.printed.err
    for name in ("report.md", "report.html"):
        assert "Forgetting</h2>" not in (leaky.folder.path / name).read_text()
        assert "## Forgetting" not in (leaky.folder.path / name).read_text()


@pytest.fixture(scope="module")
def leaky(short: list[str], tmp_path_factory: pytest.TempPathFactory) -> Decided:
    """72 of 80 given test examples leak, and another system is right on just these; its files are
    gone afterwards."""
    place = tmp_path_factory.mktemp("leaky")
    data = written(place / "train.csv", rows(96))
    test = written(place / "test.csv", [*rows(72), *rows(8, first=200)])
    other = written(
        place / "today.csv",
        [*rows(72), *((question, "?") for question, _ in rows(8, first=200))],
        "question,answer",
    )
    decided = decide(
        place / "runs",
        data,
        short,
        "--test-path",
        test,
        "--external-answers",
        other,
        "--fail-on-warning",
        "--min-gain",
        0.3,
        *sets("data.allow_contamination=[exact, near]", "evaluation.max_test_examples=80"),
        code=1,
    )
    for path in (data, test, other):
        path.unlink()
    return decided


def test_a_strict_run_ends_with_1_when_the_verdict_has_a_warning_and_the_report_is_there(
    leaky: Decided,
) -> None:
    message = refused(leaky.printed, 1, "gate/warned")
    assert (
        "depends on contaminated test examples" in message
        and str(leaky.folder.path / "report.html") in message
    )
    assert (leaky.folder.path / "report.html").is_file()
    assert [one for one in leaky.document["warnings"] if "depends on contaminated" in one]


def test_the_score_without_leaks_stands_beside_the_whole_one(leaky: Decided) -> None:
    assert len(leaky.folder.read(ContaminationReport).contaminated_test_ids) == 72
    today = leaky.contenders["today"]
    assert (
        today["metrics"]["accuracy"]["value"] == 0.9
        and today["score_without_contaminated"]["value"] == 0.0
        and today["score_without_contaminated"]["n"] == 8
    )
    assert (leaky.document["verdict"], leaky.document["winner"]) == ("stop", "today")
    assert [
        reason
        for reason in leaky.document["reasons"]
        if "without contamination today scores 0.0 %" in reason
    ]
    assert "without contaminated" in (leaky.folder.path / "report.html").read_text()


@pytest.mark.parametrize("which", ["rich", "leaky", "judged"])
def test_the_verdict_is_made_again_when_the_data_are_gone(
    which: str, request: pytest.FixtureRequest
) -> None:
    decided: Decided = request.getfixturevalue(which)
    again = call("decide", decided.folder.path, "--json", *sets("fail_on_warning=false"))
    assert again.code == 0, again.err
    assert again.document == {
        **decided.folder.read(Decision).model_dump(mode="json"),
        "is_same": True,
    }


def test_a_strict_verdict_with_a_warning_is_refused_when_made_again_too(leaky: Decided) -> None:
    assert "depends on contaminated" in refused(
        call("decide", leaky.folder.path, "--json"), 1, "gate/warned"
    )


def test_a_damaged_file_of_answers_is_named(leaky: Decided, tmp_path: Path) -> None:
    shutil.copytree(leaky.folder.path, copied := tmp_path / leaky.folder.id)
    answers = copied / "answers" / "few-shot.jsonl"
    lines = answers.read_text().splitlines(keepends=True)
    for damaged in (
        "".join(lines[:-1]),
        "".join([*lines[:-1], lines[-1][:20]]),
        "".join([*lines[:-1], "{}\n"]),
        "",
    ):
        answers.write_text(damaged)
        assert "few-shot.jsonl" in refused(call("decide", copied, "--json"), 2, "run/damaged")
    answers.write_text("".join(reversed(lines)))
    assert "few-shot.jsonl" in refused(call("decide", copied, "--json"), 2, "run/damaged")
    (
        copied / "checksums.json"
    ).unlink()  # as in a run of an earlier version, where only what was asked can tell
    assert "few-shot" in refused(call("decide", copied, "--json"), 2, "data/other-answers")
    answers.write_text("".join(lines))
    (copied / "answers" / "tuned.json").write_text("{")
    assert "tuned.json" in refused(call("decide", copied, "--json"), 2, "run/damaged")


FENCED = re.compile(r"^<<< ([a-z ]+) ([0-9a-f]{12})$\n(.*?)\n^\2 >>>$", re.MULTILINE | re.DOTALL)


def honest_judge(text: str) -> str:
    """Marks what a judge is shown as right when it holds the reference; to anything else, a good
    answer."""
    parts = {kind: shown for kind, _, shown in FENCED.findall(text)}
    if "answer to mark" not in parts:
        return colour_in(text)
    is_right = (
        parts.get("reference answer", "Gold").split(";")[0].lower()
        in parts["answer to mark"].lower()
    )
    return json.dumps({"reason": "by rule", "verdict": "right" if is_right else "wrong"})


def lenient_judge(text: str) -> str:
    """Always the same."""
    said = json.dumps({"reason": "all is well", "verdict": "right"})
    return said if FENCED.search(text) else colour_in(text)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 answers that people judged, half of them right."""
    lines = [
        (question, answer if i % 2 else "purple", answer, "right" if i % 2 else "wrong")
        for i, (question, answer) in enumerate(rows(60, first=500))
    ]
    return written(
        tmp_path_factory.mktemp("judged") / "people.csv", lines, "question,answer,reference,label"
    )


@pytest.fixture(scope="module")
def judged(
    coloured: Path, short: list[str], labelled: Path, tmp_path_factory: pytest.TempPathFactory
) -> Decided:
    """With a judge that always says the same."""
    with FakeOpenAI(lenient_judge) as service:
        return decide(
            tmp_path_factory.mktemp("unfit"),
            coloured,
            short,
            *remotes(service, "referee"),
            *sets("judge.model=referee", f"judge.human_labels={labelled}"),
            ACME_KEY=CANARY,
        )


def test_a_judge_that_did_not_qualify_is_shown_and_decides_nothing(judged: Decided) -> None:
    assert not judged.folder.read(JudgeQualification).is_qualified
    assert (
        judged.document["metric"] == "accuracy"
        and judged.folder.read(TestSet).scorer == "label + judge"
    )
    for name in ("report.html", "report.md"):
        text = (judged.folder.path / name).read_text()
        assert (
            "did not qualify" in text
            and "not used for the verdict" in text
            and "Not passed" in text
        )


def test_a_judge_that_qualified_decides(
    coloured: Path, short: list[str], labelled: Path, tmp_path: Path
) -> None:
    with FakeOpenAI(honest_judge) as service:
        decided = decide(
            tmp_path,
            coloured,
            short,
            *remotes(service, "referee"),
            *sets("judge.model=referee", f"judge.human_labels={labelled}"),
        )
    assert decided.folder.read(JudgeQualification).is_qualified
    assert (
        decided.document["metric"] == "judge_mark"
        and decided.folder.read(Decision).metric == "judge_mark"
    )
    assert not [name for name in decided.contenders if name.startswith("referee")], (
        "who judges is no contender"
    )
    assert all(
        {"judge_mark", "accuracy", "macro_f1"} <= one["metrics"].keys()
        for one in decided.contenders.values()
    )
    bills = [
        part.usd.expected
        for one in decided.folder.read(CostReport).contenders
        for part in one.parts
        if part.name == "judge"
    ]
    assert bills and all(bill > 0 for bill in bills)
    for name in ("report.html", "report.md"):
        assert "its scores are used for the verdict" in (decided.folder.path / name).read_text()
    assert call("decide", decided.folder.path, "--json").document["is_same"]


def test_a_judge_is_examined_and_asked_once_also_when_the_run_goes_on(
    coloured: Path, short: list[str], labelled: Path, tmp_path: Path
) -> None:
    """What was judged before the run was cut short is still in what judging cost."""
    other = written(tmp_path / "today.csv", [(q, f"{a}!") for q, a in rows(96)], "question,answer")
    with FakeOpenAI(honest_judge) as service:
        words = [
            *remotes(service, "referee"),
            "--external-answers",
            str(other),
            *sets("judge.model=referee", f"judge.human_labels={labelled}"),
        ]
        whole = decide(tmp_path / "whole", coloured, short, *words)
        needed = len(service.requests)
        failpoints.arm("train.step:1:raise")
        try:
            assert call("decide", coloured, "--out", tmp_path / "cut", *short, *words).code == 70
        finally:
            failpoints.arm(None)
        (cut,) = map(RunFolder.open, (tmp_path / "cut").iterdir())
        before = len(service.requests)
        resumed = call("resume", cut.path)
        assert resumed.code == 0, resumed.err
        assert len(service.requests) - before < needed - 60, "the 60 labels are not asked again"
        judged_again = [
            one for one in service.requests[before:] if "!" in one["messages"][-1]["content"]
        ]
        assert not judged_again, "nor are the answers of the other system judged again"
    assert cut.read(JudgeQualification).kappa == whole.folder.read(JudgeQualification).kappa
    assert "Passed: Cohen's kappa" in resumed.err
    bills = [_judging(folder.read(CostReport)) for folder in (whole.folder, cut)]
    assert bills[1] == pytest.approx(bills[0], rel=0.2) and bills[0] > 0
    assert re.search(r"exclude \d contenders", (cut.path / "report.md").read_text())


def test_evaluate_counts_what_its_judge_took(
    coloured: Path, tiny_model: Path, labelled: Path, tmp_path: Path
) -> None:
    small = sets(
        "evaluation.max_test_examples=4", "evaluation.max_new_tokens=4", "training.dtype=float32"
    )

    def reply(request: dict[str, Any]) -> Reply:
        said = honest_judge(request["messages"][-1]["content"])
        return Reply(body={**make_chat_completion(said), "model": "somebody-else"})

    with FakeOpenAI(honest_judge, reply=reply) as service:
        words = [
            *small,
            *remotes(service, "referee"),
            *sets("judge.model=referee", f"judge.human_labels={labelled}"),
        ]
        printed = call(
            "evaluate", tiny_model, "--data", coloured, "--out", tmp_path, "--json", *words
        )
    assert printed.code == 0, printed.err
    (folder,) = map(RunFolder.open, tmp_path.iterdir())
    examined, marked = (
        folder.read(JudgeQualification).usage.requests,
        printed.document["judging"]["requests"],
    )
    assert 0 < marked == len(service.requests) - examined
    assert f"judge usage: {len(service.requests)} requests, " in printed.err
    assert "referee: At least one answer is from another model than requested" in printed.err
    (name,) = folder.list_contenders()
    assert folder.read_contender(name).judging == folder.read(Evaluation).judging


def _judging(cost: CostReport) -> float:
    return next(
        part.usd.expected for one in cost.contenders for part in one.parts if part.name == "judge"
    )


def own_scorer(place: Path, body: str) -> Path:
    (path := place / "mine.py").write_text(f"def first_letter(answer, reference):\n    {body}\n")
    return path


def test_a_scorer_of_my_own_decides(coloured: Path, short: list[str], tmp_path: Path) -> None:
    path = own_scorer(
        tmp_path, "return {'first_letter': answer[:1] == reference[:1], '<i>length</i>': 0.5}"
    )
    decided = decide(tmp_path / "runs", coloured, short, "--scorer", f"{path}:first_letter")
    assert decided.document["metric"] == "first_letter"
    assert decided.contenders["tuned"]["metrics"]["<i>length</i>"]["value"] == 0.5
    path.unlink()
    assert call("decide", decided.folder.path, "--json").document["is_same"]
    assert "<i>" not in (decided.folder.path / "report.html").read_text()
    assert "<i>" not in re.sub(r"(`+) .*? \1", "", (decided.folder.path / "report.md").read_text())


def test_json_that_a_model_cannot_be_held_to_leaves_that_contender_out(
    fields_jsonl: Path, tiny_model: Path, short: list[str], tmp_path: Path
) -> None:
    """The tokenizer says nothing of how its tokens become text, so no grammar can be told in
    them."""
    shutil.copytree(tiny_model, model := tmp_path / "model")
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    (model / "tokenizer.json").write_text(json.dumps({**tokenizer, "decoder": None}))
    decided = decide(
        tmp_path / "runs",
        fields_jsonl,
        short,
        "--model",
        model,
        *sets(f"model={model}", "evaluation.constrained=true"),
    )
    assert list(decided.contenders) == [
        "zero-shot",
        "zero-shot+schema",
        "few-shot",
        "rag",
        "tuned",
        "tuned+rag",
    ]
    assert (
        "no constrained answers: outputs cannot be constrained to this JSON schema"
        in decided.printed.err
    )


def test_a_service_that_holds_no_answer_to_a_form_is_asked_freely(
    coloured: Path, short: list[str], tmp_path: Path
) -> None:
    def reply(request: dict[str, Any]) -> Reply | None:
        return (
            make_error_reply(400, "response_format is not supported")
            if "response_format" in request
            else None
        )

    with FakeOpenAI(colour_in, reply=reply) as service:
        decided = decide(
            tmp_path, coloured, short, *remotes(service), *sets("evaluation.constrained=true")
        )
    theirs = [name for name in decided.contenders if name.startswith("acme+")]
    assert theirs == ["acme+zero-shot", "acme+zero-shot+labels", "acme+few-shot", "acme+rag"]
    assert "no constrained answers of acme" in decided.printed.err


def test_a_service_that_counts_no_tokens_has_no_known_cost(
    coloured: Path, short: list[str], tmp_path: Path
) -> None:
    def reply(request: dict[str, Any]) -> Reply:
        return Reply(
            body={
                **make_chat_completion(colour_in(request["messages"][-1]["content"])),
                "usage": None,
            }
        )

    with FakeOpenAI(colour_in, reply=reply) as service:
        decided = decide(tmp_path, coloured, short, *remotes(service))
    assert (
        "The service reports no plausible token counts; tokens and costs are estimated"
        in decided.contenders["acme+zero-shot"]["description"]
    )
    assert decided.contenders["acme+zero-shot"]["usd_per_1000"] > 0


def test_a_service_that_refuses_the_key_in_the_middle_leaves_the_other_work(
    coloured: Path, short: list[str], home: Path, tmp_path: Path
) -> None:
    no = make_error_reply(401, f"Incorrect API key provided: {CANARY}")
    with FakeOpenAI(
        colour_in, reply=lambda _: no if len(service.requests) > 3 else None
    ) as service:
        decided = decide(tmp_path, coloured, short, *remotes(service), ACME_KEY=CANARY)
    score = decided.contenders["acme+zero-shot"]["metrics"]["accuracy"]
    assert score["n_failed"] >= 9 and score["n"] + score["n_failed"] == 12
    assert decided.contenders["tuned"]["metrics"]["accuracy"]["n_failed"] == 0
    assert without_key(tmp_path, home) and CANARY not in decided.printed.out + decided.printed.err


def test_a_service_that_refuses_the_key_tells_nothing_of_it(
    coloured: Path, short: list[str], home: Path, tmp_path: Path
) -> None:
    """A service may repeat the key in what it says."""
    no = make_error_reply(401, f"Incorrect API key provided: {CANARY}")
    with FakeOpenAI(colour_in, reply=lambda _: no) as service:
        printed = call(
            "decide",
            coloured,
            "--json",
            "--out",
            tmp_path,
            *short,
            *remotes(service),
            ACME_KEY=CANARY,
        )
    message = refused(printed, 3, "provider/refused-key")
    assert "ACME_KEY" in message and CANARY not in printed.out + printed.err
    assert without_key(home) and not list(tmp_path.iterdir()), (
        "what is refused at once leaves nothing"
    )


Refusing = Callable[[Path, FakeOpenAI], list[str]]
REFUSED: dict[str, tuple[int, str, Refusing]] = {
    "no price": (
        2,
        "recipe/no-price",
        lambda _, service: remotes(service, usd_per_million_out=None),
    ),
    "may not leave": (
        2,
        "recipe/contradiction",
        lambda _, service: [*remotes(service), *sets("usage.data_residency=this machine")],
    ),
    "a bad name": (2, "recipe/contradiction", lambda _, service: remotes(service, "<b>x</b>")),
    "the name of another": (
        2,
        "usage/same-name",
        lambda place, _: [
            "--external-answers",
            str(written(place / "few-shot.csv", rows(96), "question,answer")),
        ],
    ),
    "one name twice": (
        2,
        "usage/same-name",
        lambda place, service: [
            *remotes(service),
            "--external-answers",
            str(written(place / "acme+rag.csv", rows(96), "question,answer")),
        ],
    ),
    "no such answers": (
        2,
        "data/no-answers-file",
        lambda place, _: ["--external-answers", str(place / "none.csv")],
    ),
    "no labels": (
        2,
        "recipe/judge-without-labels",
        lambda _, service: [*remotes(service, "referee"), *sets("judge.model=referee")],
    ),
    "no scorer": (
        2,
        "recipe/broken-scorer",
        lambda place, _: ["--scorer", f"{own_scorer(place, 'return 1')}:second_letter"],
    ),
    "a scorer that judges nothing": (
        2,
        "recipe/failing-scorer",
        lambda place, _: [
            "--scorer",
            f"{own_scorer(place, 'return reference.colour')}:first_letter",
        ],
    ),
    "a scorer that fails": (
        2,
        "recipe/broken-scorer",
        lambda place, _: ["--scorer", f"{own_scorer(place, 'return (')}:first_letter"],
    ),
    "too few": (
        1,
        "gate/too-few-tests",
        lambda _, service: [*remotes(service), "--fail-on-warning"],
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_is_refused_before_anything_is_asked_or_written(
    coloured: Path, short: list[str], tmp_path: Path, why: str
) -> None:
    code, name, words = REFUSED[why]
    with FakeOpenAI(colour_in) as service:
        given = words(tmp_path, service)
        printed = call(
            "decide",
            coloured,
            "--json",
            "--out",
            tmp_path / "runs",
            *short,
            *given,
            ACME_KEY=CANARY,
        )
        message = refused(printed, code, name)
        assert not service.requests and not (tmp_path / "runs").exists()
    if why == "too few":
        assert "With 12 test examples" in message and "needs about" in message


@pytest.mark.parametrize("when", ["asked", "choosing"])
def test_ctrl_c_while_a_remote_model_works_keeps_what_was_answered(
    coloured: Path, short: list[str], tmp_path: Path, when: str
) -> None:
    """Ctrl-C is pressed at the first request that is not the one before the work, or at the first
    one with labels."""

    def reply(request: dict[str, Any]) -> Reply | None:
        pressed = len(service.requests) == 2 if when == "asked" else len(request["messages"]) > 1
        if pressed and not interrupted:
            interrupted.append(True)
            os.kill(os.getpid(), signal.SIGINT)
        return None

    interrupted: list[bool] = []
    with FakeOpenAI(colour_in, reply=reply) as service:
        printed = call("decide", coloured, "--json", "--out", tmp_path, *short, *remotes(service))
    assert printed.code == 130 and printed.document["error"]["code"] == "interrupted/stopped"
    message = printed.err.splitlines()[-1]
    (folder,) = map(RunFolder.open, tmp_path.iterdir())
    mine = ["few-shot", "rag", "zero-shot", "zero-shot+labels"]
    kept = mine if when == "asked" else ["acme+zero-shot", *mine]
    assert f"the answers of {', '.join(kept)}" in message and list(folder.list_contenders()) == kept
    assert not folder.has(Evaluation) and f"Next: tunesmith resume {folder.path}" in message


def test_a_task_of_promptfoo_and_a_log_of_answers_are_read_by_evaluate(
    tiny_model: Path, short: list[str], tmp_path: Path
) -> None:
    (task := tmp_path / "promptfoo.yaml").write_text(
        "prompts: ['{{q}}']\nproviders: [x]\ntests:\n"
        + "".join(
            f"  - vars: {{q: 'Sum {i} + {i}?'}}\n    assert: [{{type: icontains, value:"
            f" '{2 * i}'}}]\n"
            for i in range(24)
        )
    )
    log = tmp_path / "samples_sums_2026-01-01.jsonl"
    log.write_text(
        "".join(
            json.dumps(
                {
                    "doc_id": i,
                    "doc": {},
                    "target": str(2 * i),
                    "arguments": [[f"Sum {i} + {i}?", {"until": []}]],
                    "resps": [[f"It is {2 * i}"]],
                    "filtered_resps": [f"It is {2 * i}"],
                    "filter": "none",
                }
            )
            + "\n"
            for i in range(24)
        )
    )
    printed = call(
        "evaluate",
        tiny_model,
        "--data",
        task,
        "--json",
        "--out",
        tmp_path / "kept",
        "--external-answers",
        log,
        *sets("evaluation.max_new_tokens=4"),
    )
    assert printed.code == 0, printed.err
    assert (
        "warning[data/not-understood]: promptfoo: excluded by the configuration (providers: ['x'])"
        in printed.err
    )
    theirs = {one["name"]: one for one in printed.document["contenders"]}["samples_sums_2026-01-01"]
    assert (
        theirs["kind"] == "outside"
        and theirs["metrics"][printed.document["metric"]]["value"] == 1.0
    )
    (folder,) = map(RunFolder.open, (tmp_path / "kept").iterdir())
    assert set(folder.list_contenders()) == {tiny_model.name, "samples_sums_2026-01-01"}
    printed = call("decide", task, "--json", "--out", tmp_path / "runs", *short)
    assert (
        "evaluate MODEL" in refused(printed, 2, "data/no-answers-but-checks")
        and not (tmp_path / "runs").exists()
    )


def test_evaluate_asks_a_judge_that_has_qualified(
    coloured: Path, tiny_model: Path, labelled: Path, tmp_path: Path
) -> None:
    other = written(tmp_path / "today.csv", rows(96), "question,answer")
    judge = sets(
        "judge.model=referee", f"judge.human_labels={labelled}", "evaluation.max_test_examples=12"
    )
    with FakeOpenAI(honest_judge) as service:
        printed = call(
            "evaluate",
            tiny_model,
            "--data",
            coloured,
            "--json",
            "--external-answers",
            other,
            "--out",
            tmp_path / "kept",
            *judge,
            *remotes(service, "referee"),
        )
    assert printed.code == 0, printed.err
    (folder,) = map(RunFolder.open, (tmp_path / "kept").iterdir())
    assert (
        printed.document["metric"] == "judge_mark" and folder.read(JudgeQualification).is_qualified
    )
    scores = {
        one["name"]: one["metrics"]["judge_mark"]["value"] for one in printed.document["contenders"]
    }
    assert scores["today"] == 1.0 and "Passed: Cohen's kappa" in printed.err


def test_answers_called_as_a_model_are_refused_by_evaluate_before_it_is_asked(
    coloured: Path, tiny_model: Path, tmp_path: Path
) -> None:
    other = written(tmp_path / f"{tiny_model.name}.csv", rows(96), "question,answer")
    printed = call(
        "evaluate", tiny_model, "--data", coloured, "--json", "--external-answers", other
    )
    assert (
        "rename the file" in refused(printed, 2, "usage/same-name")
        and "evaluating" not in printed.err
    )


def test_evaluate_asks_remote_models_beside_local_ones(
    tiny_model: Path, coloured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_KEY", CANARY)
    with FakeOpenAI(colour_in) as service:
        words = ["--set", "evaluation.max_test_examples=20", "--set", "evaluation.max_new_tokens=4"]
        printed = call(
            "evaluate", tiny_model, "--data", coloured, "--json", *words, *remotes(service)
        )
    assert printed.code == 0, printed.err
    tiny, acme = printed.document["contenders"]
    assert (
        acme["name"] == "acme"
        and acme["metrics"]["accuracy"]["value"] == 1.0
        and acme["usd_per_1000"] > 0
    )
    assert (
        acme["description"].startswith("fake at http://127.0.0.1") and tiny["kind"] == "zero-shot"
    )
