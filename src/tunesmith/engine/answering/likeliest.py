"""The likeliest of some given answers for each prompt, without computing those that cannot be it.

    argmax_a  log p(a | prompt) - less_a

Log-probabilities of tokens are never above 0, so what a label's beginning has lost by then bounds all labels that begin
so: its value can at most be that of the beginning, less the smallest `less` among them. The tree of the labels is
searched best bound first; a beginning whose bound is below the best whole label so far is never computed. The result is
that of scoring every label (`score.py`).

How much is saved depends on how sure the model is. All prompts of a batch take a step together; those that are not
through after `MOST_STEPS` have all labels scored in one pass (`score.py`), and where that is more than half of those
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

from tunesmith.engine.answering.batch import Reader
from tunesmith.engine.answering.score import score_labels
from tunesmith.engine.answering.trunks import group_by_beginning
from tunesmith.engine.attention.decode import Bank, Part
from tunesmith.engine.head import logits_of
from tunesmith.errors import UsageError

MOST_ROWS = 128
MOST_STEPS = 16
ROWS_AT_ONCE = 32  # whose logits are held


@dataclass
class Beginning:
    """What some labels begin with: its tokens, which labels, and for each next token what follows.

    `ends[k]` is the label that ends with token `tokens[k]`, `goes_on[k]` the beginning that goes on with it.
    """

    path: tuple[int, ...]
    labels: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    ends: list[int | None] = field(default_factory=list)
    goes_on: list["Beginning | None"] = field(default_factory=list)


@dataclass
class _Row:
    """The search for one prompt: beginnings that wait (best bound first), the best whole label so far."""

    prompt: int
    less_A: np.ndarray
    at: Beginning
    so_far: float = 0.0
    waiting: list[tuple[float, tuple[int, ...], float, Beginning]] = field(default_factory=list)
    best: tuple[float, int] = (float("-inf"), 0)

    def learn(self, log_probabilities: Sequence[float]) -> None:
        """What each next token of the beginning it is at would lose."""
        for value, end, on in zip(log_probabilities, self.at.ends, self.at.goes_on, strict=True):
            total = self.so_far + value
            if end is not None:
                self.best = max(self.best, (total - float(self.less_A[end]), -end))  # of equal ones the first label
            if on is not None:
                bound = total - float(self.less_A[on.labels].min())
                heapq.heappush(self.waiting, (-bound, on.path, total, on))

    def goes_on(self) -> bool:
        """Move to the beginning with the best bound; False when no label there can be better than the best."""
        if not self.waiting or -self.waiting[0][0] < self.best[0]:
            return False
        _, _, self.so_far, self.at = heapq.heappop(self.waiting)
        return True


def likeliest_labels(
    reader: Reader,
    prompts: Sequence[list[int]],
    labels: Sequence[Sequence[int]],
    most_tokens: int,
    less_PA: np.ndarray | None = None,
    found: Callable[[int], None] = lambda prompts: None,
) -> list[int]:
    """The number of a label for each prompt; of equally likely ones the first. `most_tokens` as in `score_labels`."""
    root, depth = tree_of(labels), max(map(len, labels))
    less_PA = np.zeros((len(prompts), len(labels))) if less_PA is None else less_PA
    chosen: dict[int, int] = {}
    tried = 0
    for group in group_by_beginning(prompts):
        trunk = reader.read_trunk(prompts[group.prompts[0]][: group.length]) if group.length else None
        waiting = sorted(group.prompts, key=lambda p: len(prompts[p]))
        while waiting and (tried < MOST_ROWS // 2 or 2 * len(chosen) >= tried):
            longest = len(prompts[waiting[-1]]) - group.length + depth
            count = max(1, min(MOST_ROWS, (most_tokens - group.length) // longest))
            members, waiting = waiting[-count:], waiting[:-count]
            tried += count
            bank = Bank(len(members), trunk)
            hidden_BD = reader.read(bank, [prompts[p][group.length :] for p in members])
            for row in _search(reader, bank, [_Row(p, less_PA[p], root) for p in members], hidden_BD):
                chosen[row.prompt] = -row.best[1]
                found(1)
    unsure = [p for p in range(len(prompts)) if p not in chosen]
    scores_PA = score_labels(reader.model, reader, [prompts[p] for p in unsure], labels, most_tokens, found)
    for p, row_A in zip(unsure, scores_PA.double().numpy() - less_PA[unsure], strict=True):
        chosen[p] = int(row_A.argmax())
    return [chosen[p] for p in range(len(prompts))]


def tree_of(labels: Sequence[Sequence[int]]) -> Beginning:
    """The beginnings of the labels, the empty one at the root. Errors: `UsageError` when a label is empty."""
    if not all(labels):
        raise UsageError("empty-label", "A label has no tokens.", found=f"label {labels.index([]) + 1}")
    root = Beginning(())
    for a, label in enumerate(labels):
        node = root
        for t, token in enumerate(label):
            node.labels.append(a)
            if token not in node.tokens:
                node.tokens.append(token)
                node.ends.append(None)
                node.goes_on.append(None)
            k = node.tokens.index(token)
            if t == len(label) - 1:
                node.ends[k] = a if node.ends[k] is None else node.ends[k]
                break
            node.goes_on[k] = node = node.goes_on[k] or Beginning(tuple(label[: t + 1]))
    return root


def _search(reader: Reader, bank: Bank, rows: list[_Row], hidden_BD: Tensor) -> Iterator[_Row]:
    """The rows whose best label is found within `MOST_STEPS`, as they are; they leave the bank."""
    begins = list(bank.lengths)
    for _ in range(MOST_STEPS):
        _learn(reader.model, hidden_BD, rows)
        read = [row.at.path for row in rows]
        stays = [b for b, row in enumerate(rows) if row.goes_on()]
        yield from (rows[b] for b in sorted(set(range(len(rows))) - set(stays)))
        if not stays:
            return
        if len(stays) < len(rows):
            bank.keep(stays)
            rows, begins, read = [rows[b] for b in stays], [begins[b] for b in stays], [read[b] for b in stays]
        kept = [len(path) if row.at.path[:-1] == path else 0 for row, path in zip(rows, read, strict=True)]
        bank.lengths = [begin + k for begin, k in zip(begins, kept, strict=True)]
        fed = [row.at.path[k:] for row, k in zip(rows, kept, strict=True)]
        hidden_ND = reader.feed([Part.of(bank, fed, reader.model.device)])
        hidden_BD = hidden_ND[torch.tensor([len(path) for path in fed]).cumsum(0) - 1]


def _learn(model: PreTrainedModel, hidden_BD: Tensor, rows: Sequence[_Row]) -> None:
    for at in range(0, len(rows), ROWS_AT_ONCE):
        logits_BV = logits_of(model, hidden_BD[at : at + ROWS_AT_ONCE])
        log_sums = logits_BV.logsumexp(-1).tolist()
        for row, logits_V, log_sum in zip(rows[at : at + ROWS_AT_ONCE], logits_BV, log_sums, strict=True):
            row.learn([value - log_sum for value in logits_V[row.at.tokens].tolist()])
