"""The log-probability of each of some given answers (labels), for each prompt.

    log p(label | prompt) = sum over t of log p(label_t | prompt, label_<t)

A prompt is computed once, and a prefix that prompts share is computed once for all. The labels form
a tree of their common prefixes below each prompt's last token: a token that several labels share is
computed once, and the last token of a label, whose probability only has to be read off, is not
computed at all.

Shapes: P prompts, A labels, B prompts at once, L tokens of the tree, E edges of the tree, D hidden,
V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from tunesmith.engine.attention.decode_attention import KVCache, PassInput, TokenTree
from tunesmith.engine.generation.decoding_batch import PrefixModel
from tunesmith.engine.generation.shared_prefixes import group_by_prefix
from tunesmith.engine.lm_head import compute_hidden_states, compute_logits
from tunesmith.errors import UsageError

MAX_TREE_TOKENS = 4096  # tree tokens of all prompts of one pass
MAX_CHUNK_LOGITS = 1 << 23  # logits held at once


@dataclass(frozen=True, slots=True)
class LabelTree:
    """The labels' tokens except the last ones, as a tree.

    Position 0 is the prompt's last token, position l + 1 is token l of the tree. Label a is the
    list of edges `paths[a]`; edge e leads from position `positions_E[e]` to token `tokens_E[e]`.
    """

    tokens_L: list[int]
    tree: TokenTree
    positions_E: Tensor
    tokens_E: Tensor
    paths: list[list[int]]

    @classmethod
    def from_labels(cls, labels: Sequence[Sequence[int]]) -> "LabelTree":
        """Build the tree in the order of the labels. Errors: `UsageError` when a label is empty."""
        if not all(labels):
            raise UsageError(
                "empty-label", "label has no tokens", got=f"label {labels.index([]) + 1}"
            )
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
        # Parents come before their children, so a row is complete when its children read it.
        sees_LL = torch.eye(len(tokens_L), dtype=torch.bool)
        for token, parent in enumerate(parents):
            if parent >= 0:
                sees_LL[token] |= sees_LL[parent]
        places_E, tokens_E = torch.tensor(list(edges)).T
        return cls(
            tokens_L,
            TokenTree(torch.tensor(depths, dtype=torch.long), sees_LL),
            places_E,
            tokens_E,
            paths,
        )

    def sum_paths(self, edges_BE: Tensor) -> Tensor:
        """Add up the edges' log-probabilities along the path of every label: BE -> BA."""
        return torch.stack([edges_BE[:, path].sum(-1) for path in self.paths], 1)


def score_labels(
    model: PreTrainedModel,
    prefix_model: PrefixModel | None,
    prompts: Sequence[list[int]],
    labels: Sequence[Sequence[int]],
    max_tokens: int,
    scored: Callable[[int], None] = lambda prompts: None,
) -> Tensor:
    """Log-probabilities of the labels, PA, in nats. `max_length`: tokens whose keys and values may
    be held at once.

    Without `prefix_model` every label is computed on its own, with the model's own attention.
    `scored` is called after each pass with the number of prompts that are done. Errors:
    `UsageError` when a label is empty.
    """
    scores_PA = torch.zeros(len(prompts), len(labels))
    if not prompts or not labels:
        return scores_PA
    tree = LabelTree.from_labels(labels)
    if prefix_model is None:
        for p, prompt in enumerate(prompts):
            scores_PA[p] = _score_one(model, prompt, labels)
            scored(1)
        return scores_PA
    for group in group_by_prefix(prompts):
        trunk = (
            prefix_model.prefill_prefix(prompts[group.prompts[0]][: group.length])
            if group.length
            else None
        )
        waiting = sorted(group.prompts, key=lambda p: len(prompts[p]))
        while waiting:
            rest = len(prompts[waiting[-1]]) - group.length + len(tree.tokens_L)
            rows = max(
                1,
                min(
                    MAX_TREE_TOKENS // (len(tree.tokens_L) + 1), (max_tokens - group.length) // rest
                ),
            )
            members, waiting = waiting[-rows:], waiting[:-rows]
            bank = KVCache(len(members), trunk)
            texts = [prompts[p][group.length :] for p in members]
            scores_PA[members] = tree.sum_paths(_score_edges(prefix_model, bank, texts, tree)).cpu()
            scored(len(members))
    return scores_PA


def _score_edges(
    prefix_model: PrefixModel, cache: KVCache, texts: Sequence[Sequence[int]], tree: LabelTree
) -> Tensor:
    """Log-probability of every edge of the tree after every text: BE."""
    model = prefix_model.model
    hidden_BPD = prefix_model.prefill(cache, texts)[:, None]
    if tree.tokens_L:
        part = PassInput.from_tokens(cache, [tree.tokens_L] * len(texts), model.device, tree.tree)
        below_BLD = prefix_model.run_pass([part]).view(len(texts), len(tree.tokens_L), -1)
        hidden_BPD = torch.cat([hidden_BPD, below_BLD], 1)
    return _compute_edge_log_probabilities(model, hidden_BPD, tree)


def _compute_edge_log_probabilities(
    model: PreTrainedModel, hidden_BPD: Tensor, tree: LabelTree
) -> Tensor:
    """Log-probabilities of the edges' tokens at the edges' positions: BE. A few positions at a
    time, to limit memory.
    """
    edges_BE = torch.empty(len(hidden_BPD), len(tree.positions_E), device=hidden_BPD.device)
    step = max(1, MAX_CHUNK_LOGITS // (len(hidden_BPD) * model.config.get_text_config().vocab_size))
    for begin in range(0, hidden_BPD.shape[1], step):
        here_BpD = hidden_BPD[:, begin : begin + step]
        # Flat rows: a batch of matrices would be that many products, each of which reads all of the
        # head's weights.
        logits_BpV = compute_logits(model, here_BpD.reshape(-1, here_BpD.shape[-1])).view(
            *here_BpD.shape[:2], -1
        )
        log_sum_Bp = logits_BpV.logsumexp(-1)
        here_e = ((tree.positions_E >= begin) & (tree.positions_E < begin + step)).nonzero()[:, 0]
        places_e, tokens_e = tree.positions_E[here_e] - begin, tree.tokens_E[here_e]
        edges_BE[:, here_e] = logits_BpV[:, places_e, tokens_e] - log_sum_Bp[:, places_e]
    return edges_BE


def _score_one(
    model: PreTrainedModel, prompt: Sequence[int], labels: Sequence[Sequence[int]]
) -> Tensor:
    """One prompt, one label at a time, with the model's own attention: A."""
    sums = []
    for label in labels:
        tokens_1T = torch.tensor([[*prompt, *label]], device=model.device)
        hidden_TD = compute_hidden_states(model, tokens_1T)[0, len(prompt) - 1 : -1]
        sums.append(
            compute_logits(model, hidden_TD)
            .log_softmax(-1)
            .gather(1, tokens_1T[0, len(prompt) :, None])
            .sum()
        )
    return torch.stack(sums).cpu()
