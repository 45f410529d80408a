"""ROUGE-L: the longest common subsequence of words, as an F1; for free text. Corpus chrF stands beside it.

    P = LCS / words of the answer, R = LCS / words of the reference, F1 = 2 P R / (P + R)

Source: Lin 2004, "ROUGE: a package for automatic evaluation of summaries". On ASCII text the numbers equal
rouge-score's without stemming. Words are runs of letters and digits of any alphabet, lower-cased; in scripts written
without spaces each character is a word (rouge-score sees nothing but a-z and 0-9 there and scores 0).
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from tunesmith.evaluation.scorers.chrf import ChrfScorer
from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric

_SPACELESS = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # Thai, Lao, Khmer, kana, Han
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W_{_SPACELESS}]+")


class RougeLScorer:
    """Mean ROUGE-L F1 decides."""

    name = "rouge-l"
    metric = "rouge_l"
    corpus_metrics: Mapping[str, CorpusMetric]

    def __init__(self) -> None:
        self.corpus_metrics = ChrfScorer().corpus_metrics

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`rouge_l` in [0, 1]. Texts without a single word are compared as they are."""
        found, wanted = _WORD.findall(answer.lower()), _WORD.findall(reference.lower())
        if not found or not wanted:
            return {"rouge_l": float(answer.strip() == reference.strip())}
        return {"rouge_l": 2 * longest_common_subsequence(found, wanted) / (len(found) + len(wanted))}


def longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Its length; one big integer is a row of the usual table (Hyyro 2004, "Bit-parallel LCS-length computation")."""
    a, b = sorted((a, b), key=len)  # a row is as long as the shorter one, whatever an answer runs to
    places: defaultdict[str, int] = defaultdict(int)
    for i, word in enumerate(a):
        places[word] |= 1 << i
    row = everything = (1 << len(a)) - 1
    for word in b:
        matches = row & places[word]
        row = (row + matches) | (row - matches)
    return len(a) - (row & everything).bit_count()
