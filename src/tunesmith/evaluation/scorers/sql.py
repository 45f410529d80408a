"""SQL by execution: the answer's query returns the same rows as the reference's.

The database is built in memory from `sql:FILE` (a script with tables and preferably rows) or from
the CREATE TABLE and INSERT statements in the question. Both queries run in a read-only child
process (`sandbox_worker/sql_comparison.py` defines equality, and how empty tables are filled).
SQLite's dialect: a reference that SQLite does not understand leaves its example unscored.

An answer may stand in a Markdown code fence, surrounded by text.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tunesmith.atomic_io import read_regular_file
from tunesmith.errors import RecipeError
from tunesmith.evaluation.sandbox import SandboxLimits, TaskFailure, run_in_sandbox
from tunesmith.evaluation.scorers.code_fence import extract_last_fence
from tunesmith.evaluation.scorers.scorer_protocol import (
    CorpusMetric,
    ScoringFailure,
    ScoringInput,
    score_one,
)

LIMITS = SandboxLimits(task_timeout_seconds=10.0, memory_bytes=2**30)
_STATEMENT = re.compile(r"\b(CREATE\s+TABLE|CREATE\s+VIEW|INSERT\s+INTO)\b", re.IGNORECASE)


class SqlScorer:
    """1 if the result rows are the same, else 0."""

    name = "sql"
    metric = "rows_match"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def __init__(self, schema: str = "", limits: SandboxLimits = LIMITS) -> None:
        self._schema, self._limits = schema, limits

    @classmethod
    def from_option(cls, path: str, references: Sequence[str]) -> "SqlScorer":
        """`sql:schema.sql`: the script that makes the database. Errors: `RecipeError`."""
        return cls.from_file(Path(path))

    @classmethod
    def from_file(cls, path: Path) -> "SqlScorer":
        """The scorer with the database of a script. Errors: `RecipeError` if it is unreadable."""
        try:
            return cls(read_regular_file(path).decode("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(
                "no-schema",
                "cannot read the script that creates the database",
                at=str(path),
                got=str(error),
                hint="check the path in evaluation.scorer: sql:FILE",
            ) from None

    def find_reference_error(self, reference: str) -> str | None:
        """An error for an empty reference; whether it runs depends on the question's schema."""
        return None if reference.strip() else "it is empty"

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`rows_match`: 0 or 1."""
        return score_one(self, answer, reference)

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """One entry for each item, all computed in one child process."""
        pieces = [
            {
                "schema": self._schema or extract_schema(item.question),
                "query": extract_last_fence(item.answer),
                "reference": extract_last_fence(item.reference),
            }
            for item in items
        ]
        results = run_in_sandbox("sql_comparison", None, pieces, self._limits)
        # Time or memory ran out, or the process died: by the query, unless the reference alone
        # fails as well. A failing query is a wrong one, or failing would pay better than erring.
        broken = [i for i, result in enumerate(results) if _is_undecided(result)]
        alone = [{**pieces[i], "query": pieces[i]["reference"]} for i in broken]
        for i, result in zip(
            broken,
            run_in_sandbox("sql_comparison", None, alone, self._limits) if broken else [],
            strict=True,
        ):
            results[i] = result if isinstance(result, TaskFailure) else {**result, "right": False}
        return [self._score_result(result) for result in results]

    def _score_result(
        self, result: dict[str, object] | TaskFailure
    ) -> dict[str, float] | ScoringFailure:
        if isinstance(result, TaskFailure):
            return ScoringFailure(result.reason.removeprefix("ValueError: "))
        if result["rows"] == 0:
            # Such an example cannot distinguish right from wrong queries.
            return ScoringFailure(
                "the reference query returns no rows here, so any query without rows would be "
                "correct"
            )
        return {self.metric: float(bool(result["right"]))}


def _is_undecided(result: dict[str, object] | TaskFailure) -> bool:
    """Whether the task failed for another reason than an invalid schema or reference, which the
    child reports as ValueError."""
    return (
        isinstance(result, TaskFailure)
        and not result.is_not_started
        and not result.reason.startswith("ValueError: ")
    )


def extract_schema(question: str) -> str:
    """The statements in a question that build its database.

    A CREATE TABLE statement ends with its closing bracket, any other with a semicolon or an empty
    line.
    """
    statements, behind = [], 0
    for match in _STATEMENT.finditer(question):
        if match.start() >= behind:
            behind = _find_statement_end(
                question, match.end(), is_table=match[1].upper().endswith("TABLE")
            )
            statements.append(question[match.start() : behind] + ";")
    return "\n".join(statements)


def _find_statement_end(text: str, begin: int, *, is_table: bool) -> int:
    depth, quote = 0, ""
    for i in range(begin, len(text)):
        character = text[i]
        # Brackets and semicolons inside quotes do not count.
        if quote or character in "'\"`":
            quote = "" if character == quote else quote or character
        elif character in "()":
            depth += 1 if character == "(" else -1
            if depth == 0 and is_table:
                return i + 1
        elif depth == 0 and (character == ";" or text.startswith("\n\n", i)):
            return i
    return len(text)
