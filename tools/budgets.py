"""Size budgets: what grows past them is divided, not excused. Run by `make check`; prints every
excess and fails.

Files of Python: 750 lines, of tests 900. Functions: 80 lines. A file of the workflow: 320 lines.
README.md: 250 lines. They are lines of 100 columns as the formatter breaks them (decision 128).
Docstrings and lines that hold only a comment are not counted: a reason at a hard line must never
cost anything (docs/decisions/126).
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

MAX_FILE_LINES = 750
MAX_TEST_FILE_LINES = 900
MAX_FUNCTION_LINES = 80
MAX_WORKFLOW_LINES = 320
MAX_README_LINES = 250
FOLDERS = ("src", "tests", "tools", "benchmarks")


def excesses(root: Path) -> Iterator[str]:
    """One sentence for everything that is over its budget."""
    if (root / "README.md").is_file():
        yield from _over("README.md", _lines(root / "README.md"), MAX_README_LINES)
    else:
        yield f"README.md: is missing; its budget is {MAX_README_LINES} lines"
    for path in sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py")):
        name = path.relative_to(root).as_posix()
        limit = MAX_TEST_FILE_LINES if name.startswith("tests/") else MAX_FILE_LINES
        if name.startswith("src/tunesmith/workflow"):
            limit = MAX_WORKFLOW_LINES
        text = path.read_text(encoding="utf-8")
        tree, lines = ast.parse(text), text.splitlines()
        prose = _list_prose_lines(tree, lines)
        yield from _over(name, len(lines) - len(prose), limit)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                own = set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
                yield from _over(
                    f"{name}:{node.lineno} {node.name}", len(own - prose), MAX_FUNCTION_LINES
                )


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _list_prose_lines(tree: ast.Module, lines: Sequence[str]) -> set[int]:
    """The numbers of the lines of docstrings (also of constants) and of lines that hold only a
    comment."""
    prose = {number for number, line in enumerate(lines, 1) if line.lstrip().startswith("#")}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            prose.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return prose


def _over(name: str, lines: int, limit: int) -> Iterator[str]:
    if lines > limit:
        yield f"{name}: {lines} lines; its budget is {limit}"


if __name__ == "__main__":
    found = list(excesses(Path(__file__).parent.parent))
    print("\n".join(found) or "every file and function is within its size budget")
    sys.exit(bool(found))
