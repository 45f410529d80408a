"""What could drift in README and guides is written from the code: `python tools/docs.py` writes,
`--check` compares.

A part stands between `<!-- from the code: NAME -->` and `<!-- end -->`.
"""

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from reference import build_pages

from tunesmith.data.read.data_formats import FORMAT_RULES
from tunesmith.data.read.row_errors import ROW_ERROR_KINDS
from tunesmith.data.tokenization import RENDER_ERROR_MESSAGES
from tunesmith.evaluation.scorers.scorer_registry import SCORERS, build_scorer
from tunesmith.recipe.defaults import complete_recipe
from tunesmith.recipe.recipe_keys import TOP_LEVEL_GROUP, describe_groups
from tunesmith.records import Recipe

FILLED = {
    default.key
    for default in complete_recipe(
        Recipe(),
        parameters=None,
        train_examples=1,
        longest_answer_tokens=None,
        context_tokens=None,
        rating_counts=(1, 1),
    )[1]
}
"""The keys that `complete_recipe` fills where they are left open."""

ROOT = Path(__file__).parent.parent
PART = re.compile(r"(<!-- from the code: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def problem_codes() -> Iterator[str]:
    """A row for each problem that the reader or a check can report."""
    yield "| code | severity | what is found |\n|---|---|---|"
    rows = {code: (kind.severity, kind.message) for code, kind in ROW_ERROR_KINDS.items()}
    rows |= {
        code: ("error", f"examples that {what}")
        for code, (what, _) in RENDER_ERROR_MESSAGES.items()
    }
    for path in sorted((ROOT / "src/tunesmith/data/check").glob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = call.func if isinstance(call, ast.Call) else None
            if isinstance(called, ast.Attribute) and called.attr == "report_problems":
                code, severity, message = call.args[0], call.args[1], call.args[3]
                if isinstance(code, ast.Constant) and isinstance(severity, ast.Constant):
                    rows[str(code.value)] = (
                        str(severity.value),
                        f"examples that {_text_of(message)}",
                    )
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Name)
                and call.func.id == "Problem"
            ):
                named = {word.arg: word.value for word in call.keywords}
                if isinstance(named["code"], ast.Constant):
                    level = _text_of(named["severity"]).replace("…", "error or warning")
                    rows[str(named["code"].value).removeprefix("data/")] = (
                        level,
                        _text_of(named["message"]),
                    )
    for code_text, (level, message_text) in sorted(rows.items()):
        yield f"| `data/{code_text}` | {level} | {message_text} |"


def _text_of(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
        )
    return str(node.value) if isinstance(node, ast.Constant) else "…"


def shapes() -> Iterator[str]:
    """A row for each shape of a row of data."""
    yield "| shape | columns | also |\n|---|---|---|"
    for rule in FORMAT_RULES:
        required, optional = (
            ", ".join(f"`{name}`" for name in names) for names in (rule.required, rule.optional)
        )
        yield f"| `{rule.format}` | {required} | {optional} |"


def recipe_keys() -> Iterator[str]:
    """A row for each key of a recipe, after the sentences of its section."""
    for name, (sentences, keys) in describe_groups().items():
        yield f"\n### {'The recipe itself' if name == TOP_LEVEL_GROUP else name}\n\n{sentences}\n"
        yield "| key | default | allowed | what it is |\n|---|---|---|---|"
        for key in keys:
            nothing = "chosen for you" if key.path in FILLED else "none"
            yield (
                f"| `{key.path}` | {f'`{key.default}`' if key.default else nothing} |"
                f" {key.allowed} | {key.description.replace('|', '/')} |"
            )


def scorers() -> Iterator[str]:
    """A row for each scorer with its metrics, the deciding one in bold."""
    yield "| scorer | metrics |\n|---|---|"
    for name in SCORERS.builtins:
        references = ["SELECT 1"] * 2 if name == "sql" else ['{"a": 1}', '{"a": 2}']
        scorer = build_scorer(name, references)
        metrics = [*scorer.score(references[0], references[0]), *scorer.corpus_metrics]
        yield (
            f"| `{name}` | {', '.join(f'**{m}**' if m == scorer.metric else m for m in metrics)} |"
        )


def benchmarks() -> Iterator[str]:
    """A row for each thing that `make bench` measured last."""
    yield (
        "| workload | measure | tunesmith | beside it | ratio | what that is"
        " |\n|---|---|---|---|---|---|"
    )
    for row in json.loads((ROOT / "benchmarks/latest.json").read_text(encoding="utf-8")):
        measure, ours, peer = row["measure"], row["tunesmith"], row["peer"]
        if measure.startswith(
            "loss_difference"
        ):  # two losses, and the largest difference of any step
            ratio = f"{row['ratio']:.1g}"
        else:
            ratio = "" if row["ratio"] is None else f"{row['ratio']:.3g}"
        beside = "" if peer is None else _measured(measure, peer)
        cells = (
            row["workload"],
            measure,
            _measured(measure, ours),
            beside,
            ratio,
            row["peer_name"],
        )
        yield f"| {' | '.join(cells)} |"


def _measured(measure: str, value: float) -> str:
    if measure.endswith("_bytes"):
        return f"{value / 2**20:,.0f} MiB"
    return f"{value / 1e9:,.0f} G" if measure.endswith("flops_per_second") else f"{value:,.4g}"


def decisions() -> Iterator[str]:
    """A row for each decision record: number, title with its link, status."""
    yield "| number | decision | status |\n|---|---|---|"
    for path in sorted((ROOT / "docs/decisions").glob("[0-9]*.md")):
        heading, status = _read_decision(path)
        number, title = heading.split(": ", 1)
        yield f"| {number} | [{title}]({path.name}) | {status} |"


def _read_decision(path: Path) -> tuple[str, str]:
    """(`NNN: Title`, its status). Raises `ValueError` where a record does not begin with them."""
    lines = path.read_text(encoding="utf-8").splitlines()
    number = path.name[:3]
    if not lines[0].startswith(f"# {number}: ") or not lines[2].startswith("Status: "):
        raise ValueError(f"{path.name}: begins with '# {number}: TITLE', then 'Status: ...'")
    return lines[0].removeprefix("# "), lines[2].removeprefix("Status: ")


def lab_notes() -> Iterator[str]:
    """A row for each lab note: its day and its heading with the link."""
    yield "| day | note |\n|---|---|"
    for path in sorted((ROOT / "docs/lab").glob("[0-9]*.md")):
        heading = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        day = path.name[:10]
        title = heading.removeprefix(day).lstrip(": ")
        yield f"| {day} | [{title}]({path.name}) |"


PARTS = {
    "benchmarks": benchmarks,
    "decisions": decisions,
    "lab-notes": lab_notes,
    "problem-codes": problem_codes,
    "shapes": shapes,
    "recipe-keys": recipe_keys,
    "scorers": scorers,
}


def main(check_only: bool) -> int:
    """Write or compare README, the benchmarks and every guide; the exit code says whether one was
    out of date."""
    stale = []
    for path in (
        ROOT / "README.md",
        ROOT / "docs/benchmarks.md",
        ROOT / "docs/decisions/README.md",
        ROOT / "docs/lab/README.md",
        *sorted((ROOT / "docs/guide").glob("*.md")),
    ):
        text = path.read_text(encoding="utf-8")
        fresh = PART.sub(lambda m: m[1] + "\n".join(PARTS[m[2]]()) + "\n" + m[3], text)
        if fresh != text:
            stale.append(path.relative_to(ROOT).as_posix())
            if not check_only:
                path.write_text(fresh, encoding="utf-8")
    stale += _update_reference(check_only)
    if stale and check_only:
        print(f"out of date: {', '.join(stale)}; run python tools/docs.py")
    return int(bool(stale) and check_only)


def _update_reference(check_only: bool) -> list[str]:
    """Write or compare the pages of docs/reference/; the names of those that were out of date."""
    folder, pages = ROOT / "docs/reference", build_pages()
    stale = [
        name
        for name, text in pages.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]
    gone = [path.name for path in folder.glob("*.md") if path.name not in pages]
    if not check_only:
        folder.mkdir(exist_ok=True)
        for name in stale:
            (folder / name).write_text(pages[name], encoding="utf-8")
        for name in gone:
            (folder / name).unlink()
    return [f"docs/reference/{name}" for name in (*stale, *gone)]


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
