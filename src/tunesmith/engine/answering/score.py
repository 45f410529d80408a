"""How likely each of some given answers is, for each prompt.

    log p(label | prompt) = sum over t of log p(label_t | prompt, label_<t)

A prompt is computed once, and what prompts share is computed once for all. The labels hang below each prompt's last
token as a tree of their common beginnings: a token that several labels begin with is computed once, and the last token
of a label, which only has to be looked up, not at all.

Shapes: P prompts, A labels, B prompts at once, L tokens of the tree, D hidden, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from tunesmith.engine.answering.batch import Reader
from tunesmith.engine.answering.trunks import group_by_beginning
from tunesmith.engine.attention.decode import Bank, Part, Tree
from tunesmith.engine.head import hidden_states, logits_of
from tunesmith.errors import UsageError

TOKENS_AT_ONCE = 4096
LOGITS_AT_ONCE = 1 << 23


@dataclass(frozen=True, slots=True)
class LabelTree:
    """The labels' tokens but the last ones, as a tree, and who follows whom.

    Place 0 is the prompt's last token, place l + 1 is token l of the tree. Label a is the path of edges `paths[a]`;
    edge e leads from place `places_E[e]` to token `tokens_E[e]`.
    """

    tokens_L: list[int]
    tree: Tree
    places_E: Tensor
    tokens_E: Tensor
    paths: list[list[int]]

    @classmethod
    def of(cls, labels: Sequence[Sequence[int]]) -> "LabelTree":
        """In the order of the labels. Errors: `UsageError` when one is empty."""
        if not all(labels):
            raise UsageError("empty-label", "A label has no tokens.", found=f"label {labels.index([]) + 1}")
        parents: list[int] = []
        depths: list[int] = []
        tokens_L: list[int] = []
        inner = {tuple(label[:t]) for label in labels for t in range(1, len(label))}
        places: dict[tuple[int, ...], int] = {(): 0}
        edges: dict[tuple[int, int], int] = {}
        paths: list[list[int]] = []
        for label in labels:
            path = []
            for t, token in enumerate(label):
                place = places[tuple(label[:t])]
                path.append(edges.setdefault((place, token), len(edges)))
                begun = tuple(label[: t + 1])
                if begun in inner and begun not in places:
                    places[begun] = len(places)
                    parents.append(place - 1)
                    depths.append(t)
                    tokens_L.append(token)
            paths.append(path)
        sees_LL = torch.eye(len(tokens_L), dtype=torch.bool)
        for token, parent in enumerate(parents):
            if parent >= 0:
                sees_LL[token] |= sees_LL[parent]
        places_E, tokens_E = torch.tensor(list(edges)).T
        return cls(tokens_L, Tree(torch.tensor(depths, dtype=torch.long), sees_LL), places_E, tokens_E, paths)

    def sums(self, edges_BE: Tensor) -> Tensor:
        """Log-probabilities of edges added up along every label's path: BA."""
        return torch.stack([edges_BE[:, path].sum(-1) for path in self.paths], 1)


def score_labels(
    model: PreTrainedModel,
    reader: Reader | None,
    prompts: Sequence[list[int]],
    labels: Sequence[Sequence[int]],
    most_tokens: int,
    scored: Callable[[int], None] = lambda prompts: None,
) -> Tensor:
    """Log-probabilities, PA. `most_tokens`: how many tokens' keys and values may be held at once.

    `scored` hears after each pass how many prompts it was for.
    """
    scores_PA = torch.zeros(len(prompts), len(labels))
    if not prompts or not labels:
        return scores_PA
    tree = LabelTree.of(labels)
    if reader is None:
        for p, prompt in enumerate(prompts):
            scores_PA[p] = _score_one(model, prompt, labels)
            scored(1)
        return scores_PA
    for group in group_by_beginning(prompts):
        trunk = reader.read_trunk(prompts[group.prompts[0]][: group.length]) if group.length else None
        waiting = sorted(group.prompts, key=lambda p: len(prompts[p]))
        while waiting:
            rest = len(prompts[waiting[-1]]) - group.length + len(tree.tokens_L)
            rows = max(1, min(TOKENS_AT_ONCE // (len(tree.tokens_L) + 1), (most_tokens - group.length) // rest))
            members, waiting = waiting[-rows:], waiting[:-rows]
            bank = Bank(len(members), trunk)
            texts = [prompts[p][group.length :] for p in members]
            scores_PA[members] = tree.sums(_edges(reader, bank, texts, tree)).cpu()
            scored(len(members))
    return scores_PA


def _edges(reader: Reader, bank: Bank, texts: Sequence[Sequence[int]], tree: LabelTree) -> Tensor:
    """The log-probability of every edge of the tree below every text: BE."""
    model = reader.model
    hidden_BPD = reader.read(bank, texts)[:, None]
    if tree.tokens_L:
        part = Part.of(bank, [tree.tokens_L] * len(texts), model.device, tree.tree)
        below_BLD = reader.feed([part]).view(len(texts), len(tree.tokens_L), -1)
        hidden_BPD = torch.cat([hidden_BPD, below_BLD], 1)
    return _log_probabilities(model, hidden_BPD, tree)


def _log_probabilities(model: PreTrainedModel, hidden_BPD: Tensor, tree: LabelTree) -> Tensor:
    """Of the edges' tokens at the edges' places: BE. A few places at a time, for the sake of memory."""
    edges_BE = torch.empty(len(hidden_BPD), len(tree.places_E), device=hidden_BPD.device)
    step = max(1, LOGITS_AT_ONCE // (len(hidden_BPD) * model.config.get_text_config().vocab_size))
    for begin in range(0, hidden_BPD.shape[1], step):
        here_BpD = hidden_BPD[:, begin : begin + step]
        # Flat rows: a batch of matrices would be as many products, each of which reads all of the head's weights.
        logits_BpV = logits_of(model, here_BpD.reshape(-1, here_BpD.shape[-1])).view(*here_BpD.shape[:2], -1)
        log_sum_Bp = logits_BpV.logsumexp(-1)
        here_e = ((tree.places_E >= begin) & (tree.places_E < begin + step)).nonzero()[:, 0]
        places_e, tokens_e = tree.places_E[here_e] - begin, tree.tokens_E[here_e]
        edges_BE[:, here_e] = logits_BpV[:, places_e, tokens_e] - log_sum_Bp[:, places_e]
    return edges_BE


def _score_one(model: PreTrainedModel, prompt: Sequence[int], labels: Sequence[Sequence[int]]) -> Tensor:
    """One prompt, one label at a time, with the model's own attention: A."""
    sums = []
    for label in labels:
        tokens_1T = torch.tensor([[*prompt, *label]], device=model.device)
        hidden_TD = hidden_states(model, tokens_1T)[0, len(prompt) - 1 : -1]
        sums.append(logits_of(model, hidden_TD).log_softmax(-1).gather(1, tokens_1T[0, len(prompt) :, None]).sum())
    return torch.stack(sums).cpu()
