"""Attention for generation: sequences with own keys and values that continue a shared prefix.

    O = softmax(s Q [K_prefix K_own]^T + mask) [V_prefix V_own]

The prefix's keys and values are stored once. The queries of all sequences meet them in one product,
and nothing of the prefix is copied per sequence. Own keys and values are written in place into
contiguous tensors that grow by `SPARE_COLUMNS` columns at a time: products of strided slices are
four times slower on a CPU. The scores of prefix and own keys share one softmax, in float32.

There is no padding in the model's other layers: the tokens of all sequences of all caches form one
sequence of length N. Like the attention over forests, this one is registered with transformers, and
the model is called with one more keyword argument.

Shapes: N tokens of a pass, B sequences of a cache, L tokens fed per sequence, S tokens of the
prefix, C columns of own keys, H query heads, G key heads, M = H / G query heads to a key head, Y =
M * L, d size of a head.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

ATTENTION_NAME = "tunesmith_decode"
SPARE_COLUMNS = 16
MAX_CHUNK_SEQUENCES = 32
"""Sequences computed at once if they read more than one token each: padding goes to the longest of
these, not of all.
"""
MAX_SCORES = 1 << 22
"""Attention scores held at once; the queries of longer texts are processed in blocks."""


class KVCache:
    """Keys and values of sequences that continue the same prefix.

    `lengths`: own tokens of each sequence so far, without the prefix.
    """

    def __init__(self, sequences: int, prefix: "SharedPrefix | None" = None) -> None:
        self.prefix = prefix
        self.lengths = [0] * sequences
        # Sequences that the tensors have memory for; they may be views of larger ones.
        self._capacity = sequences
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}

    @property
    def prefix_length(self) -> int:
        """Number of tokens of the shared prefix, 0 without one."""
        return self.prefix.length if self.prefix else 0

    @property
    def columns(self) -> int:
        """Allocated columns of own keys, used or not."""
        return next((keys.shape[2] for keys in self._keys.values()), 0)

    def add_lengths(self, part: "PassInput") -> None:
        """Count the tokens of a finished pass; only then do all layers hold their keys."""
        self.lengths = [
            length + count for length, count in zip(self.lengths, part.counts, strict=True)
        ]

    def write(
        self, layer: int, k_NGd: Tensor, v_NGd: Tensor, part: "PassInput"
    ) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values; return all own ones of the layer, BGCd each."""
        whole = []
        for kept, new_NGd in ((self._keys, k_NGd), (self._values, v_NGd)):
            if layer not in kept:
                kept[layer] = new_NGd.new_zeros(
                    len(self.lengths), new_NGd.shape[1], part.columns, new_NGd.shape[2]
                )
            elif (missing := part.columns - kept[layer].shape[2]) > 0:
                kept[layer] = pad(kept[layer], (0, 0, 0, missing))
            kept[layer][part.rows_N, :, part.columns_N] = new_NGd
            whole.append(kept[layer])
        return whole[0], whole[1]

    def keep_sequences(self, sequences: Sequence[int]) -> None:
        """Keep these sequences, in this order; later ones take the places of those that leave."""
        moved = torch.tensor(
            [(to, row) for to, row in enumerate(sequences) if to != row], dtype=torch.long
        ).view(-1, 2)
        self.lengths = [self.lengths[row] for row in sequences]
        # Copying on every departure would cost more than the memory is worth, so tensors shrink at
        # half occupancy.
        gives_back = 2 * len(sequences) <= self._capacity
        self._capacity = len(sequences) if gives_back else self._capacity
        for kept in (self._keys, self._values):
            for layer, tensor in kept.items():
                to, origin = moved.to(tensor.device).T
                # Only the moved sequences are copied; the tensor index makes a copy first, so
                # overlaps are safe.
                if len(to):
                    tensor[to] = tensor[origin]
                kept[layer] = (
                    tensor[: len(sequences)].clone() if gives_back else tensor[: len(sequences)]
                )

    def to_shared_prefix(self) -> "SharedPrefix":
        """The keys and values of the only sequence, as a prefix that others can continue."""
        (length,) = self.lengths
        return SharedPrefix(
            length,
            *(
                {layer: x[0, :, :length].contiguous() for layer, x in kept.items()}
                for kept in (self._keys, self._values)
            ),
        )


@dataclass(frozen=True, slots=True)
class SharedPrefix:
    """Keys and values of a shared prefix, by layer: GSd each. `length`: its tokens S."""

    length: int
    keys: dict[int, Tensor]
    values: dict[int, Tensor]


@dataclass
class PassInput:
    """The tokens that one cache feeds in a pass; N of them, each to a sequence (`rows_N`).

    `offsets_N`: index of a token among those fed to its sequence. `columns_N`: the column that
    stores its key. `positions_N`: its position in the text. `allowed_BLC`: which own columns the
    query at an offset may see; `positions_BL`, `key_positions_BC`: their positions.
    `previous_lengths` and `counts`: tokens that each sequence had, and tokens that it is fed.
    """

    cache: KVCache
    previous_lengths: list[int]
    counts: list[int]
    is_tree: bool
    tokens_N: Tensor
    rows_N: Tensor
    offsets_N: Tensor
    columns_N: Tensor
    positions_BL: Tensor
    key_positions_BC: Tensor
    allowed_BLC: Tensor
    _masks: dict[int | None, tuple[Tensor | None, Tensor]] = field(default_factory=dict)

    @classmethod
    def from_tokens(
        cls,
        cache: KVCache,
        fed: Sequence[Sequence[int]],
        device: torch.device,
        tree: "TokenTree | None" = None,
    ) -> "PassInput":
        """Feed each sequence its next tokens (possibly none), or the tokens of `tree` to all."""
        before_B, counts = torch.tensor(cache.lengths), [len(tokens) for tokens in fed]
        rows_N = torch.repeat_interleave(torch.tensor(counts))
        places_N = (
            torch.cat([torch.arange(count) for count in counts])
            if max(counts) > 1
            else torch.zeros_like(rows_N)
        )
        columns_N = before_B[rows_N] + places_N
        C = max(cache.columns, -(-(int(columns_N.max()) + 1) // SPARE_COLUMNS) * SPARE_COLUMNS)
        places_BL = torch.arange(max(counts)).expand(len(counts), -1)
        # Offset of the token that a column gets in this pass; < 0: older.
        new_BC = torch.arange(C) - before_B[:, None]
        if tree is None:
            depths_BL, depths_BC = places_BL, new_BC
            allowed_BLC = new_BC[:, None] <= places_BL[:, :, None]
            # Tokens of a tree share a position with their siblings, so positions come from depths,
            # not from columns, and a token sees its ancestors only.
        else:
            is_new_BC = (new_BC >= 0) & (new_BC < len(tree.depths_L))
            at_BC = new_BC.clamp(0, len(tree.depths_L) - 1)
            depths_BL, depths_BC = (
                tree.depths_L[places_BL],
                torch.where(is_new_BC, tree.depths_L[at_BC], new_BC),
            )
            allowed_BLC = (new_BC < 0)[:, None] | (
                is_new_BC[:, None] & tree.sees_LL[:, at_BC].transpose(0, 1)
            )
        tokens_N = torch.tensor([token for tokens in fed for token in tokens])
        begin_B1 = cache.prefix_length + before_B[:, None]
        positions_BL, key_positions_BC = begin_B1 + depths_BL, begin_B1 + depths_BC
        tensors = (
            tokens_N,
            rows_N,
            places_N,
            columns_N,
            positions_BL,
            key_positions_BC,
            allowed_BLC,
        )
        # All index tensors are built on the CPU and sent once, without waiting for the device.
        on_device = (x.to(device, non_blocking=True) for x in tensors)
        return cls(cache, list(cache.lengths), counts, tree is not None, *on_device)  # type: ignore[arg-type]

    @property
    def columns(self) -> int:
        """Own columns that this pass can see."""
        return self.allowed_BLC.shape[2]

    @property
    def positions_N(self) -> Tensor:
        """Position of every token in its text, N."""
        return self.positions_BL[self.rows_N, self.offsets_N]

    def attend(
        self,
        layer: int,
        q_NHd: Tensor,
        k_NGd: Tensor,
        v_NGd: Tensor,
        scale: float,
        window: int | None,
    ) -> Tensor:
        """Attention output of this cache's tokens: (N, H, d). `window`: tokens that a query sees,
        itself included; None: all.
        """
        k_BGCd, v_BGCd = self.cache.write(layer, k_NGd, v_NGd, self)
        q_NHd = q_NHd * scale
        # One token for every sequence, the common case: no padding.
        if self.positions_BL.shape == (len(q_NHd), 1):
            q_BGMLd = q_NHd.view(len(q_NHd), k_NGd.shape[1], -1, 1, q_NHd.shape[2])
            return self._attend(layer, q_BGMLd, k_BGCd, v_BGCd, self._get_masks(window)).reshape(
                *q_NHd.shape[:2], -1
            )
        out, end = [], 0
        for row in range(0, len(self.counts), MAX_CHUNK_SEQUENCES):
            rows = slice(row, row + MAX_CHUNK_SEQUENCES)
            tokens = slice(end, end := end + sum(self.counts[rows]))
            if tokens.start < tokens.stop:
                out.append(
                    self._attend_sequences(
                        layer, rows, tokens, q_NHd[tokens], k_BGCd[rows], v_BGCd[rows], window
                    )
                )
        return torch.cat(out)

    def _attend_sequences(
        self,
        layer: int,
        sequences: slice,
        tokens: slice,
        q_NHd: Tensor,
        k_BGCd: Tensor,
        v_BGCd: Tensor,
        window: int | None,
    ) -> Tensor:
        """Attention of a range of sequences, padded to the longest, by blocks of queries."""
        B, G = k_BGCd.shape[:2]
        rows_N, places_N = self.rows_N[tokens] - sequences.start, self.offsets_N[tokens]
        L, most_before = max(self.counts[sequences]), max(self.previous_lengths[sequences])
        q_BLHd = q_NHd.new_zeros(B, L, *q_NHd.shape[1:])
        q_BLHd[rows_N, places_N] = q_NHd
        q_BGMLd = q_BLHd.view(B, L, G, -1, q_NHd.shape[2]).permute(0, 2, 3, 1, 4)
        trunk_mask_BLS, own_mask_BLC = self._get_masks(window)
        step = max(
            1, MAX_SCORES // (B * q_NHd.shape[1] * (self.columns + self.cache.prefix_length))
        )
        blocks = []
        for at in range(0, L, step):
            block = slice(at, min(at + step, L))
            # A causal block sees no column past its last token; in a tree the columns are not in
            # causal order.
            C = self.columns if self.is_tree else min(self.columns, most_before + block.stop)
            masks = (
                None if trunk_mask_BLS is None else trunk_mask_BLS[sequences, block],
                own_mask_BLC[sequences, block, :C],
            )
            k, v = k_BGCd[:, :, :C].contiguous(), v_BGCd[:, :, :C].contiguous()
            blocks.append(self._attend(layer, q_BGMLd[:, :, :, block], k, v, masks))
        return torch.cat(blocks, 3)[rows_N, :, :, places_N].flatten(1, 2)

    def _get_masks(self, window: int | None) -> tuple[Tensor | None, Tensor]:
        """Additive masks of 0 and -inf, for the prefix (BLS; None: all visible) and own columns
        (BLC).
        """
        # Layers with the same window share the masks, so they are cached per pass.
        if window not in self._masks:
            q_BL1, k_B1C = self.positions_BL[:, :, None], self.key_positions_BC[:, None]
            allowed_BLC, trunk_BLS = self.allowed_BLC, None
            if window is not None and window <= int(q_BL1.max()):
                allowed_BLC = allowed_BLC & (q_BL1 - k_B1C < window)
                columns_S = torch.arange(self.cache.prefix_length, device=q_BL1.device)
                trunk_BLS = _build_additive_mask(q_BL1 - columns_S < window)
            self._masks[window] = trunk_BLS, _build_additive_mask(allowed_BLC)
        return self._masks[window]

    def _attend(
        self,
        layer: int,
        q_BGMLd: Tensor,
        k_BGCd: Tensor,
        v_BGCd: Tensor,
        masks: tuple[Tensor | None, Tensor],
    ) -> Tensor:
        """Attention of queries to own keys and to the prefix: BGMLd."""
        (B, G, M, L, d), C = q_BGMLd.shape, k_BGCd.shape[2]
        trunk, S = self.cache.prefix, self.cache.prefix_length
        trunk_mask_BLS, own_mask_BLC = masks
        q_BGYd = q_BGMLd.reshape(B, G, M * L, d)
        # Both kinds of scores are written into one preallocated tensor, so that the softmax needs
        # no concatenation.
        s = torch.empty(
            B,
            G,
            M,
            L,
            S + C,
            device=q_BGYd.device,
            dtype=torch.promote_types(q_BGYd.dtype, torch.float32),
        )
        own = torch.bmm(q_BGYd.reshape(B * G, M * L, d), k_BGCd.view(B * G, C, d).mT)
        torch.add(own.view(B, G, M, L, C), own_mask_BLC[:, None, None], out=s[..., S:])
        if trunk is not None:
            shared = torch.bmm(q_BGYd.transpose(0, 1).reshape(G, -1, d), trunk.keys[layer].mT)
            s[..., :S] = shared.view(G, B, M, L, S).transpose(0, 1)
            if trunk_mask_BLS is not None:
                s[..., :S] += trunk_mask_BLS[:, None, None]
        p_BGYX = s.softmax(-1).to(q_BGYd.dtype).view(B, G, M * L, S + C)
        out_BGYd = torch.bmm(
            p_BGYX[..., S:].reshape(B * G, M * L, C), v_BGCd.view(B * G, C, -1)
        ).view(B, G, M * L, -1)
        if trunk is not None:
            shared = torch.bmm(
                p_BGYX[..., :S].transpose(0, 1).reshape(G, -1, S), trunk.values[layer]
            )
            out_BGYd += shared.view(G, B, M * L, -1).transpose(0, 1)
        return out_BGYd.view(B, G, M, L, -1)


def _build_additive_mask(allowed: Tensor) -> Tensor:
    return torch.zeros(allowed.shape, device=allowed.device).masked_fill_(~allowed, float("-inf"))


@dataclass(frozen=True, slots=True)
class TokenTree:
    """A tree of tokens below a sequence's last token: `depths_L` from 0, and `sees_LL`: which of
    them each one sees.
    """

    depths_L: Tensor
    sees_LL: Tensor


@dataclass(frozen=True, slots=True)
class DecodingPass:
    """The inputs of one model call in token order; `windows` by layer, None: full attention."""

    parts: Sequence[PassInput]
    windows: Sequence[int | None]

    def attend(
        self, layer: int, q_NHd: Tensor, k_NGd: Tensor, v_NGd: Tensor, scale: float
    ) -> Tensor:
        """Attention output of every token: (N, H, d)."""
        counts = [len(part.tokens_N) for part in self.parts]
        cut = zip(*(x_Nhd.split(counts) for x_Nhd in (q_NHd, k_NGd, v_NGd)), strict=True)
        window = self.windows[layer]
        out = [
            part.attend(layer, q, k, v, scale, window)
            for part, (q, k, v) in zip(self.parts, cut, strict=True)
        ]
        return out[0] if len(out) == 1 else torch.cat(out)


def _attend_registered(
    module: nn.Module,
    q_1HNd: Tensor,
    k_1GNd: Tensor,
    v_1GNd: Tensor,
    attention_mask: None,
    *,
    decoding: DecodingPass,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    if softcap is not None or s_aux is not None:
        raise ValueError("logit soft-capping and attention sinks are not supported here")
    q_NHd, k_NGd, v_NGd = (x_1hNd[0].transpose(0, 1) for x_1hNd in (q_1HNd, k_1GNd, v_1GNd))
    scale = q_NHd.shape[-1] ** -0.5 if scaling is None else scaling
    layer: int = module.layer_idx  # type: ignore[assignment]
    return decoding.attend(layer, q_NHd, k_NGd, v_NGd, scale)[None], None


def _make_no_mask(*_: Any, **__: Any) -> None:
    """No mask: every `PassInput` brings its own."""


AttentionInterface.register(ATTENTION_NAME, _attend_registered)
AttentionMaskInterface.register(ATTENTION_NAME, _make_no_mask)


def run_pass(
    model: PreTrainedModel, parts: Sequence[PassInput], windows: Sequence[int | None]
) -> Tensor:
    """Run the inputs' tokens through the model and append their keys and values to the caches.
    Returns the last hidden states, ND."""
    config = model.config
    # transformers reads this setting in every layer; it is restored even if the pass fails.
    before, config._attn_implementation = config._attn_implementation, ATTENTION_NAME
    try:
        hidden_1ND = model.base_model(
            input_ids=torch.cat([part.tokens_N for part in parts])[None],
            position_ids=torch.cat([part.positions_N for part in parts])[None],
            use_cache=False,
            decoding=DecodingPass(parts, windows),
        ).last_hidden_state
    finally:
        config._attn_implementation = before
    for part in parts:
        part.cache.add_lengths(part)
    return hidden_1ND[0]
