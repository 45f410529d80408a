"""Size budgets: what grows past them is divided, not excused. Run by `make check`; prints every excess and fails.

Files of Python: 600 lines. Functions: 60 lines. A file of the workflow: 250 lines. README.md: 250 lines.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 60
MAX_WORKFLOW_LINES = 250
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
        is_workflow = name.startswith("src/tunesmith/workflow")
        yield from _over(name, _lines(path), MAX_WORKFLOW_LINES if is_workflow else MAX_FILE_LINES)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                yield from _over(f"{name}:{node.lineno} {node.name}", length, MAX_FUNCTION_LINES)


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _over(name: str, lines: int, limit: int) -> Iterator[str]:
    if lines > limit:
        yield f"{name}: {lines} lines; its budget is {limit}"


if __name__ == "__main__":
    found = list(excesses(Path(__file__).parent.parent))
    print("\n".join(found) or "every file and function is within its size budget")
    sys.exit(bool(found))
