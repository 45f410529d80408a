"""Every new scorer keeps the contract; those that work in a child process or ask a model keep the
larger one."""

from pathlib import Path

import numpy as np
import pytest

from tunesmith.evaluation.sandbox import SandboxLimits
from tunesmith.evaluation.scorers import Scorer
from tunesmith.evaluation.scorers.bleu import BleuScorer
from tunesmith.evaluation.scorers.code import CodeScorer
from tunesmith.evaluation.scorers.function import FunctionScorer
from tunesmith.evaluation.scorers.match import MatchScorer
from tunesmith.evaluation.scorers.number import NumberScorer
from tunesmith.evaluation.scorers.regex import RegexScorer
from tunesmith.evaluation.scorers.similarity import SimilarityScorer
from tunesmith.evaluation.scorers.sql import SqlScorer
from tunesmith.evaluation.scorers.squad import SquadScorer
from tunesmith.evaluation.scorers.ter import TerScorer
from tunesmith.testing.scorer_conformance import BatchScorerConformance, ScorerConformance


class TestNumber(ScorerConformance):
    def make_scorer(self) -> Scorer:
        return NumberScorer()

    def make_references(self) -> list[str]:
        return ["3 * 6 = 18\n#### 18", "-1,234.50"]


class TestMatch(ScorerConformance):
    def make_scorer(self) -> Scorer:
        return MatchScorer("end+numeric")

    def make_references(self) -> list[str]:
        return ["Paris", '["60", "60%"]', "-1,234.50"]

    def make_right_answer(self, reference: str) -> str:
        return "60%" if reference[:1] == "[" else reference


class TestSquad(ScorerConformance):
    def make_scorer(self) -> Scorer:
        return SquadScorer()

    def make_references(self) -> list[str]:
        return ["The cat-house, sat.", "5.0"]


class TestBleu(ScorerConformance):
    def make_scorer(self) -> Scorer:
        return BleuScorer()

    def make_references(self) -> list[str]:
        return ["The cat sat on the mat.", "Two dogs, 3,000 fleas and no rest."]


class TestTer(BatchScorerConformance):
    def make_scorer(self) -> Scorer:
        return TerScorer()

    def make_references(self) -> list[str]:
        return ["The cat sat on the mat.", "Two dogs, 3,000 fleas and no rest."]


class TestPatternInTheReference(BatchScorerConformance):
    def make_scorer(self) -> Scorer:
        return RegexScorer()

    def make_references(self) -> list[str]:
        return [r"^\s*yes\b", "n[o0]"]

    def make_right_answer(self, reference: str) -> str:
        return "yes, n0"


class TestPatternThatExtracts(BatchScorerConformance):
    def make_scorer(self) -> Scorer:
        return RegexScorer(r"answer is (\w+)")

    def make_references(self) -> list[str]:
        return ["The answer is Paris", "rome"]


class TestSql(BatchScorerConformance):
    def make_scorer(self) -> Scorer:
        return SqlScorer("CREATE TABLE t (a INT, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y');")

    def make_references(self) -> list[str]:
        return ["SELECT a FROM t WHERE b = 'x'", "SELECT b FROM t ORDER BY a DESC"]


class TestCode(BatchScorerConformance):
    def make_scorer(self) -> Scorer:
        return CodeScorer(SandboxLimits(task_timeout_seconds=3.0, memory_bytes=2**30))

    def make_references(self) -> list[str]:
        return [
            "def f(x):\n    return x + 1\n\n# tests\nassert f(1) == 2",
            "def f(x): return 0\n#Tests:\nassert f(1) == 0",
        ]


class TestFunction(BatchScorerConformance):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.file = tmp_path / "mine.py"
        self.file.write_text(
            "def same(answer, reference):\n    print('noise')\n    return answer == reference\n"
        )

    def make_scorer(self) -> Scorer:
        return FunctionScorer(self.file, "same")


class LettersEmbedder:
    """A text's point: how often it has each letter of "yesno@"."""

    name = "letters"

    def embed(self, texts: list[str]) -> np.ndarray:
        rows = np.array(
            [[text[:1000].count(letter) for letter in "yesno@"] for text in texts], dtype=np.float32
        )
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)


class TestSimilarity(BatchScorerConformance):
    def make_scorer(self) -> Scorer:
        return SimilarityScorer(LettersEmbedder())
