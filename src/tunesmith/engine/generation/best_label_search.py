"""The likeliest of some given answers for each prompt, without computing those that cannot be it.

    argmax_a  log p(a | prompt) - less_a

Log-probabilities of tokens are never above 0, so what a label's beginning has lost by then bounds all labels that begin
so: its value can at most be that of the beginning, less the smallest `less` among them. The tree of the labels is
searched best bound first; a beginning whose bound is below the best whole label so far is never computed. The result is
that of scoring every label (`score.py`).

How much is saved depends on how sure the model is. All prompts of a batch take a step together; those that are not
through after `MAX_STEPS` have all labels scored in one pass (`score.py`), and where that is more than half of those
that were tried, so have all that follow: an unsure model loses little. The keys of a beginning that was left are
overwritten by the next one.

Source: best-first branch and bound, Land and Doig 1960, doi:10.2307/1910129.

Shapes: P prompts, A labels, B prompts at once, D hidden, V vocabulary.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from tunesmith.engine.attention.decode_attention import KVCache, PassInput
from tunesmith.engine.generation.decoding_batch import PrefixModel
from tunesmith.engine.generation.label_scoring import score_labels
from tunesmith.engine.generation.shared_prefixes import group_by_prefix
from tunesmith.engine.lm_head import compute_logits
from tunesmith.errors import UsageError

MAX_SEQUENCES = 128
MAX_STEPS = 16
MAX_CHUNK_SEQUENCES = 32  # whose logits are held


@dataclass
class LabelTrieNode:
    """What some labels begin with: its tokens, which labels, and for each next token what follows.

    `ends[k]` is the label that ends with token `tokens[k]`, `goes_on[k]` the beginning that goes on with it.
    """

    path: tuple[int, ...]
    labels: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    ends: list[int | None] = field(default_factory=list)
    children: list["LabelTrieNode | None"] = field(default_factory=list)


@dataclass
class _LabelSearch:
    """The search for one prompt: beginnings that wait (best bound first), the best whole label so far."""

    prompt: int
    less_A: np.ndarray
    node: LabelTrieNode
    log_probability: float = 0.0
    frontier: list[tuple[float, tuple[int, ...], float, LabelTrieNode]] = field(default_factory=list)
    best: tuple[float, int] = (float("-inf"), 0)

    def expand(self, log_probabilities: Sequence[float]) -> None:
        """What each next token of the beginning it is at would lose."""
        for value, end, on in zip(log_probabilities, self.node.ends, self.node.children, strict=True):
            total = self.log_probability + value
            if end is not None:
                self.best = max(self.best, (total - float(self.less_A[end]), -end))  # of equal ones the first label
            if on is not None:
                bound = total - float(self.less_A[on.labels].min())
                heapq.heappush(self.frontier, (-bound, on.path, total, on))

    def advance(self) -> bool:
        """Move to the beginning with the best bound; False when no label there can be better than the best."""
        if not self.frontier or -self.frontier[0][0] < self.best[0]:
            return False
        _, _, self.log_probability, self.node = heapq.heappop(self.frontier)
        return True


def find_best_labels(
    prefix_model: PrefixModel,
    prompts: Sequence[list[int]],
    labels: Sequence[Sequence[int]],
    max_tokens: int,
    less_PA: np.ndarray | None = None,
    found: Callable[[int], None] = lambda prompts: None,
) -> list[int]:
    """The number of a label for each prompt; of equally likely ones the first. `most_tokens` as in `score_labels`."""
    root, depth = build_label_trie(labels), max(map(len, labels))
    less_PA = np.zeros((len(prompts), len(labels))) if less_PA is None else less_PA
    chosen: dict[int, int] = {}
    tried = 0
    for group in group_by_prefix(prompts):
        trunk = prefix_model.prefill_prefix(prompts[group.prompts[0]][: group.length]) if group.length else None
        waiting = sorted(group.prompts, key=lambda p: len(prompts[p]))
        while waiting and (tried < MAX_SEQUENCES // 2 or 2 * len(chosen) >= tried):
            longest = len(prompts[waiting[-1]]) - group.length + depth
            count = max(1, min(MAX_SEQUENCES, (max_tokens - group.length) // longest))
            members, waiting = waiting[-count:], waiting[:-count]
            tried += count
            bank = KVCache(len(members), trunk)
            hidden_BD = prefix_model.prefill(bank, [prompts[p][group.length :] for p in members])
            for row in _search(prefix_model, bank, [_LabelSearch(p, less_PA[p], root) for p in members], hidden_BD):
                chosen[row.prompt] = -row.best[1]
                found(1)
    unsure = [p for p in range(len(prompts)) if p not in chosen]
    scores_PA = score_labels(prefix_model.model, prefix_model, [prompts[p] for p in unsure], labels, max_tokens, found)
    for p, row_A in zip(unsure, scores_PA.double().numpy() - less_PA[unsure], strict=True):
        chosen[p] = int(row_A.argmax())
    return [chosen[p] for p in range(len(prompts))]


def build_label_trie(labels: Sequence[Sequence[int]]) -> LabelTrieNode:
    """The beginnings of the labels, the empty one at the root. Errors: `UsageError` when a label is empty."""
    if not all(labels):
        raise UsageError("empty-label", "A label has no tokens.", found=f"label {labels.index([]) + 1}")
    root = LabelTrieNode(())
    for a, label in enumerate(labels):
        node = root
        for t, token in enumerate(label):
            node.labels.append(a)
            if token not in node.tokens:
                node.tokens.append(token)
                node.ends.append(None)
                node.children.append(None)
            k = node.tokens.index(token)
            if t == len(label) - 1:
                node.ends[k] = a if node.ends[k] is None else node.ends[k]
                break
            node.children[k] = node = node.children[k] or LabelTrieNode(tuple(label[: t + 1]))
    return root


def _search(
    prefix_model: PrefixModel, cache: KVCache, searches: list[_LabelSearch], hidden_BD: Tensor
) -> Iterator[_LabelSearch]:
    """The rows whose best label is found within `MAX_STEPS`, as they are; they leave the bank."""
    begins = list(cache.lengths)
    for _ in range(MAX_STEPS):
        _expand_all(prefix_model.model, hidden_BD, searches)
        read = [row.node.path for row in searches]
        stays = [b for b, row in enumerate(searches) if row.advance()]
        yield from (searches[b] for b in sorted(set(range(len(searches))) - set(stays)))
        if not stays:
            return
        if len(stays) < len(searches):
            cache.keep_sequences(stays)
            searches, begins, read = [searches[b] for b in stays], [begins[b] for b in stays], [read[b] for b in stays]
        kept = [len(path) if row.node.path[:-1] == path else 0 for row, path in zip(searches, read, strict=True)]
        cache.lengths = [begin + k for begin, k in zip(begins, kept, strict=True)]
        fed = [row.node.path[k:] for row, k in zip(searches, kept, strict=True)]
        hidden_ND = prefix_model.run_pass([PassInput.from_tokens(cache, fed, prefix_model.model.device)])
        hidden_BD = hidden_ND[torch.tensor([len(path) for path in fed]).cumsum(0) - 1]


def _expand_all(model: PreTrainedModel, hidden_BD: Tensor, searches: Sequence[_LabelSearch]) -> None:
    for at in range(0, len(searches), MAX_CHUNK_SEQUENCES):
        logits_BV = compute_logits(model, hidden_BD[at : at + MAX_CHUNK_SEQUENCES])
        log_sums = logits_BV.logsumexp(-1).tolist()
        for row, logits_V, log_sum in zip(searches[at : at + MAX_CHUNK_SEQUENCES], logits_BV, log_sums, strict=True):
            row.expand([value - log_sum for value in logits_V[row.node.tokens].tolist()])
