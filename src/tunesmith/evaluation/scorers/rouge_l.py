"""ROUGE-L: the longest common subsequence of words, as an F1; for free text. Corpus chrF is
reported as well.

    P = LCS / words of the answer, R = LCS / words of the reference, F1 = 2 P R / (P + R)

Source: Lin 2004, "ROUGE: a package for automatic evaluation of summaries". On ASCII text the values
equal rouge-score's without stemming. Words are sequences of letters and digits of any alphabet, in
lower case; in scripts without spaces each character is a word (rouge-score only sees a-z and 0-9
and scores 0 there).
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from tunesmith.evaluation.scorers.chrf import ChrfScorer
from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric

_SPACELESS = (  # Thai, Lao, Khmer, kana, Han
    "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
)
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W_{_SPACELESS}]+")


class RougeLScorer:
    """Primary metric: the mean ROUGE-L F1."""

    name = "rouge-l"
    is_free_text = True
    metric = "rouge_l"
    corpus_metrics: Mapping[str, CorpusMetric]

    def __init__(self) -> None:
        self.corpus_metrics = ChrfScorer().corpus_metrics

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`rouge_l` in [0, 1]. If one text has no word, the two are compared for equality."""
        predicted, expected = _WORD.findall(answer.lower()), _WORD.findall(reference.lower())
        if not predicted or not expected:
            return {"rouge_l": float(answer.strip() == reference.strip())}
        return {
            "rouge_l": 2
            * longest_common_subsequence(predicted, expected)
            / (len(predicted) + len(expected))
        }


def longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest common subsequence.

    A big integer represents a row of the usual dynamic programming table (Hyyro 2004,
    "Bit-parallel LCS-length computation").
    """
    a, b = sorted((a, b), key=len)  # the row gets the length of the shorter text
    places: defaultdict[str, int] = defaultdict(int)
    for i, word in enumerate(a):
        places[word] |= 1 << i
    # A 0 bit marks a column where the length grows; all bits are 1 at the start.
    row = everything = (1 << len(a)) - 1
    for word in b:
        matches = row & places[word]
        row = (row + matches) | (row - matches)
    return len(a) - (row & everything).bit_count()
