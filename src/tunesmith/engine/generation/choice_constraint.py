"""A ready-made constraint: the answer is one of some given token sequences."""

from collections.abc import Iterable, Sequence

from tunesmith.errors import UsageError

TrieNode = dict[int, "TrieNode"]


class ChoiceConstraint:
    """A trie of answers, each ended by a stop token. Greedy decoding picks the best branch
    locally.
    """

    def __init__(self, answers: Iterable[Sequence[int]], stop_ids: Iterable[int]) -> None:
        stop: TrieNode = {token: {} for token in sorted(stop_ids)}
        self.root: TrieNode = {}
        for answer in answers:
            node = self.root
            for token in answer:
                node = node.setdefault(token, {})
            node.update(stop)
        if not self.root or not stop:
            raise UsageError("no-answers", "choice needs at least one answer and one stop token")

    def __call__(self, tokens: Sequence[int]) -> list[int]:
        """The token ids that may follow these tokens of an answer."""
        node = self.root
        for token in tokens:
            node = node[token]
        return list(node)
