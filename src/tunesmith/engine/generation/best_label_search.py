"""The most likely label for each prompt, without computing labels that cannot win.

    argmax_a  log p(a | prompt) - less_a

Log-probabilities of tokens are at most 0, so the log-probability of a prefix of a label bounds all
labels with this prefix: their value is at most that of the prefix minus the smallest `less` among
them. The trie of the labels is searched best bound first; a prefix whose bound is below the best
complete label so far is never computed. The result equals that of scoring every label
(`label_scoring.py`).

The savings depend on how confident the model is. All prompts of a batch take a step together; for
those that are not done after `MAX_STEPS`, all labels are scored in one pass (`label_scoring.py`),
and if that happens to more than half of the prompts tried so far, all remaining prompts are scored
that way too: an unsure model loses little. The cached keys of an abandoned prefix are overwritten
by the next one.

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
MAX_CHUNK_SEQUENCES = 32  # sequences whose logits over the vocabulary are held at once


@dataclass
class LabelTrieNode:
    """A common prefix of labels: its tokens (`path`), the indices of its labels, and the tokens
    that may follow.

    `ends[k]` is the label that ends with `tokens[k]`, None if none does; `children[k]` the longer
    prefix that continues with it.
    """

    path: tuple[int, ...]
    labels: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    ends: list[int | None] = field(default_factory=list)
    children: list["LabelTrieNode | None"] = field(default_factory=list)


@dataclass
class _LabelSearch:
    """The search for one prompt: a heap of open prefixes and the best complete label so far.

    `log_probability`: of the current `node`. `frontier`: (-bound, path, log-probability, node); the
    unique path decides between equal bounds. `best`: (value, -label).
    """

    prompt: int
    less_A: np.ndarray
    node: LabelTrieNode
    log_probability: float = 0.0
    frontier: list[tuple[float, tuple[int, ...], float, LabelTrieNode]] = field(
        default_factory=list
    )
    best: tuple[float, int] = (float("-inf"), 0)

    def expand(self, log_probabilities: Sequence[float]) -> None:
        """Add the current prefix's children, by the log-probabilities of its next tokens."""
        for value, end, on in zip(
            log_probabilities, self.node.ends, self.node.children, strict=True
        ):
            total = self.log_probability + value
            if end is not None:
                # The negated index makes the first of equally likely labels win.
                self.best = max(self.best, (total - float(self.less_A[end]), -end))
            if on is not None:
                bound = total - float(self.less_A[on.labels].min())
                heapq.heappush(self.frontier, (-bound, on.path, total, on))

    def advance(self) -> bool:
        """Move to the prefix with the best bound; False if no label left can beat the best."""
        # Strictly below: a label with an equal value and a smaller index may still be open.
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
    """The index of a label for each prompt; the first one of equally likely labels.

    `less_PA`: subtracted from the labels' log-probabilities. `max_length`: as in `score_labels`.
    `found` is called with the number of prompts that are done. Errors: `UsageError` when a label is
    empty.
    """
    root, depth = build_label_trie(labels), max(map(len, labels))
    less_PA = np.zeros((len(prompts), len(labels))) if less_PA is None else less_PA
    chosen: dict[int, int] = {}
    tried = 0
    for group in group_by_prefix(prompts):
        trunk = (
            prefix_model.prefill_prefix(prompts[group.prompts[0]][: group.length])
            if group.length
            else None
        )
        waiting = sorted(group.prompts, key=lambda p: len(prompts[p]))
        # Longest prompts first, as many as their keys and values fit into `max_length`.
        while waiting and (tried < MAX_SEQUENCES // 2 or 2 * len(chosen) >= tried):
            longest = len(prompts[waiting[-1]]) - group.length + depth
            count = max(1, min(MAX_SEQUENCES, (max_tokens - group.length) // longest))
            members, waiting = waiting[-count:], waiting[:-count]
            tried += count
            bank = KVCache(len(members), trunk)
            hidden_BD = prefix_model.prefill(bank, [prompts[p][group.length :] for p in members])
            for row in _search(
                prefix_model, bank, [_LabelSearch(p, less_PA[p], root) for p in members], hidden_BD
            ):
                chosen[row.prompt] = -row.best[1]
                found(1)
    unsure = [p for p in range(len(prompts)) if p not in chosen]
    scores_PA = score_labels(
        prefix_model.model, prefix_model, [prompts[p] for p in unsure], labels, max_tokens, found
    )
    for p, row_A in zip(unsure, scores_PA.double().numpy() - less_PA[unsure], strict=True):
        chosen[p] = int(row_A.argmax())
    return [chosen[p] for p in range(len(prompts))]


def build_label_trie(labels: Sequence[Sequence[int]]) -> LabelTrieNode:
    """The trie of the labels, with the empty prefix at the root.

    Errors: `UsageError` when a label is empty.
    """
    if not all(labels):
        raise UsageError("empty-label", "label has no tokens", got=f"label {labels.index([]) + 1}")
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
    """The searches that finish within `MAX_STEPS`, as they finish; they leave the cache."""
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
            searches, begins, read = (
                [searches[b] for b in stays],
                [begins[b] for b in stays],
                [read[b] for b in stays],
            )
        # If the new prefix extends the one just read by one token, its keys are in the cache
        # already; otherwise the cache is cut back to the prompt and the whole prefix is fed.
        kept = [
            len(path) if row.node.path[:-1] == path else 0
            for row, path in zip(searches, read, strict=True)
        ]
        cache.lengths = [begin + k for begin, k in zip(begins, kept, strict=True)]
        fed = [row.node.path[k:] for row, k in zip(searches, kept, strict=True)]
        hidden_ND = prefix_model.run_pass(
            [PassInput.from_tokens(cache, fed, prefix_model.model.device)]
        )
        hidden_BD = hidden_ND[torch.tensor([len(path) for path in fed]).cumsum(0) - 1]


def _expand_all(
    model: PreTrainedModel, hidden_BD: Tensor, searches: Sequence[_LabelSearch]
) -> None:
    for at in range(0, len(searches), MAX_CHUNK_SEQUENCES):
        logits_BV = compute_logits(model, hidden_BD[at : at + MAX_CHUNK_SEQUENCES])
        log_sums = logits_BV.logsumexp(-1).tolist()
        for row, logits_V, log_sum in zip(
            searches[at : at + MAX_CHUNK_SEQUENCES], logits_BV, log_sums, strict=True
        ):
            row.expand([value - log_sum for value in logits_V[row.node.tokens].tolist()])
