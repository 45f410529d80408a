"""BM25 over words and character trigrams: which of these texts is nearest to a question?

No stemmer and no stop words: nothing here knows a language. Trigrams let short strings meet that share no word ("Jon
Smith", "John Smyth"): for 400 held-out strings of the names sample an example with the very same sequence of parts is
among the first five for 50 %, with words alone for 20 %. The scores are bm25s's (Lucene variant, k1 1.5, b 0.75).
"""

import re
from collections.abc import Container, Sequence

import numpy as np

_WORD = re.compile(r"\w+")


class Bm25Index:
    """Texts, searched by a question. The same texts and question give the same result: ties go to the earlier text."""

    def __init__(self, texts: Sequence[str]) -> None:
        import bm25s  # here, because it costs a third of a second and most commands never search

        tokens = [search_tokens(text) for text in texts]
        self._bm25 = bm25s.BM25()
        self._is_empty = not any(tokens)  # bm25s cannot index nothing
        if not self._is_empty:
            self._bm25.index(tokens, show_progress=False)

    def nearest(self, question: str, k: int, leave_out: Container[int] = ()) -> list[int]:
        """Positions of the k best texts, best first; fewer when fewer have anything in common with the question."""
        tokens = search_tokens(question)
        if self._is_empty or not any(token in self._bm25.vocab_dict for token in tokens):
            return []
        scores_N = self._bm25.get_scores(tokens)
        found: list[int] = []
        for position in np.argsort(-scores_N, kind="stable"):
            if len(found) == k or scores_N[position] <= 0:
                break
            if int(position) not in leave_out:
                found.append(int(position))
        return found


def search_tokens(text: str) -> list[str]:
    """Lower-case words, and the trigrams of each word with its ends marked: `jon` -> jon, ^jo, jon, on$."""
    words = _WORD.findall(text.lower())
    marked = [f"^{word}$" for word in words]
    return words + [word[i : i + 3] for word in marked for i in range(len(word) - 2)]
