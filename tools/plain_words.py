"""Holds the language of messages: no word of a private dialect in the text of the program, and one
form for the parts of an error.

    python tools/plain_words.py             prints what it finds; exit code 1 if there is anything

It reads string literals, not docstrings or comments. `DIALECT` are words and turns that mean
something else to a reader of this field, or nothing; a literal that needs one stands in `ALLOWED`.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIALECT = re.compile(
    r"\b(?:told|luck|dearer|whoever|nobody|somebody|everybody|anew|stray|trifles?|mend(?:s|ed)?"
    r"|trunks?|unwanted|goes on|gone on|go on with|made again|make the run again|stands twice"
    r"|beside the|of one side|says? which is which|take (?:it|them|this key) out|in place of"
    r"|leave (?:it|them) out of|give yourself|not what was written|as you asked|makers say"
    r"|asked again|is not asked|fetch the (?:file|folder) again|likeliest|commonest)\b",
    re.IGNORECASE,
)
ALLOWED = frozenset({"lesson/"})
"""Fragments: a literal that contains one of them is not looked at."""

ERROR_NAMES = re.compile(r"(?:Error|Failed|Exceeded|NotFound|NotRows|Refused|Unavailable)$")
OTHER_ARGUMENTS = frozenset({"MissingExtraError"})
"""Errors whose second argument is not what is wrong."""

PROPER_NAMES = frozenset(
    {"API", "BOS", "DSPy", "Falcon", "FlexAttention", "Git", "HTML", "I", "JSON", "KTO", "LoRA"}
    | {"NaN", "PostgreSQL", "Python", "QLoRA", "README", "SQL", "TLS", "TOML", "URL", "YAML"}
)


def find_findings(root: Path = ROOT) -> Iterator[str]:
    """One line for each place: `file:line: what is wrong: the text`."""
    for path in sorted((root / "src").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        place = path.relative_to(root).as_posix()
        for line, problem in sorted({*find_dialect(tree), *find_misshaped_errors(tree)}):
            yield f"{place}:{line}: {problem}"
    # Templates and guides are text as a whole.
    pages = [*(root / "src").rglob("*.html"), *(root / "docs/guide").glob("*.md")]
    for path in sorted(pages):
        for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            # Code blocks of the guides are the files of tests/plugins, which tests compare.
            for match in DIALECT.finditer("" if text.startswith("    ") else text):
                place = path.relative_to(root).as_posix()
                yield f"{place}:{line}: {match[0]!r} in {text.strip()[:80]!r}"


def find_dialect(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, problem) for each literal with a word of the dialect."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in docstrings:
            continue
        text = node.value
        # A single word may be a key, a name or a pattern: only texts are for people.
        if isinstance(text, str) and " " in text and not any(part in text for part in ALLOWED):
            for word in sorted({match[0] for match in DIALECT.finditer(text)}):
                yield node.lineno, f"{word!r} in {text[:80]!r}"


def find_misshaped_errors(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, problem) for each error whose `what` is not a lower-case clause, or whose hint ends
    like a sentence.
    """
    for node in ast.walk(tree):
        name = _name(node.func) if isinstance(node, ast.Call) else ""
        if not isinstance(node, ast.Call) or not ERROR_NAMES.search(name):
            continue
        hints = [word.value for word in node.keywords if word.arg == "hint"]
        if (
            name in OTHER_ARGUMENTS
            or len(node.args) < 2
            or not isinstance(node.args[0], ast.Constant)
        ):
            continue
        for text in _list_texts(node.args[1]):
            first = re.match(r"[A-Za-z]+", text)
            if _ends_like_a_sentence(text):
                yield node.lineno, f"a period at the end of {text[:80]!r}"
            if first and first[0][0].isupper() and first[0] not in PROPER_NAMES:
                yield node.lineno, f"a capital letter at the start of {text[:80]!r}"
        for text in (text for hint in hints for text in _list_texts(hint)):
            if _ends_like_a_sentence(text):
                yield node.lineno, f"a period at the end of {text[:80]!r}"


def _ends_like_a_sentence(text: str) -> bool:
    return text.endswith(".") and not text.endswith("...")


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _list_texts(node: ast.expr) -> Iterator[str]:
    """The texts of a literal or of both sides of a choice; a `{}` stands for each value."""
    if isinstance(node, ast.IfExp):
        yield from _list_texts(node.body)
        yield from _list_texts(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = (p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
        yield "".join(map(str, parts))


if __name__ == "__main__":
    findings = list(find_findings())
    print("\n".join(findings) or "every message is in plain words")
    sys.exit(1 if findings else 0)
