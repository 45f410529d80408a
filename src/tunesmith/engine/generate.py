"""Answers, many prompts at once: greedily the tokens that `transformers.generate` gives one prompt at a time (float32).

What all prompts share at their beginning (system prompt, few-shot examples) is computed once, and its keys and values
are spread over the rows. Rows of unequal length are padded on the left, where the mask hides it; positions count real
tokens only. A finished row leaves the batch, and when half of the rows have left, waiting prompts take their places.
Models whose cache is more than plain keys and values (sliding windows, recurrent state) answer one prompt at a time.

Shapes: B rows, S shared tokens, T tokens fed at once, K columns of the cache, V vocabulary.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from tunesmith.engine.head import hidden_states, keeps_plain_cache, logits_of
from tunesmith.engine.load import LoadedModel
from tunesmith.engine.memory import cache_budget_bytes

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Generated:
    """The new tokens without the stop token; `finished` is False when they were cut at the limit.

    `seconds` is this answer's share of the wall time: that of each pass, divided among the rows in it.
    """

    tokens: list[int]
    finished: bool
    seconds: float


class Generator:
    """Answers token prompts with a loaded model as it stands: with its adapter on or off, in training or not."""

    def __init__(self, loaded: LoadedModel, batch_size: int = 32) -> None:
        self.model = loaded.model
        self.context_length = loaded.context_length
        self.batch_size = batch_size

    def generate(
        self, prompts: Sequence[list[int]], max_new_tokens: int, stop_ids: set[int], progress: Progress | None = None
    ) -> list[Generated]:
        """One greedy answer per prompt, in the order of the prompts."""
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                return self._generate(prompts, max_new_tokens, stop_ids, progress)
        finally:
            self.model.train(was_training)

    @torch.inference_mode()
    def stream(
        self,
        prompt: list[int],
        max_new_tokens: int,
        stop_ids: set[int],
        *,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Iterator[int]:
        """The tokens of one answer as they are made, without the stop token; greedy at temperature 0."""
        choose = Sampler(temperature, top_p, seed, self.model.device) if temperature > 0 else _most_likely
        rows = _Rows(self.model, [], choose)
        rows.admit([(0, prompt)])
        row, told = rows.living[0], 0
        while told < len(row.tokens):
            is_done = bool(rows.take_finished(max_new_tokens, stop_ids))
            yield from row.tokens[told:]
            told = len(row.tokens)
            if not is_done:
                rows.feed_last_tokens()

    def _generate(
        self, prompts: Sequence[list[int]], max_new_tokens: int, stop_ids: set[int], progress: Progress | None
    ) -> list[Generated]:
        # Taken from the end, so the longest go first: memory peaks at the start, and the last rows to finish are short.
        waiting = sorted(range(len(prompts)), key=lambda p: len(prompts[p]))
        is_plain = keeps_plain_cache(self.model)
        rows = _Rows(self.model, shared_beginning(prompts) if is_plain else [])
        answers: dict[int, Generated] = {}
        longest = max(map(len, prompts), default=0) + max_new_tokens
        most_rows = min(self.batch_size, rows.that_fit(longest)) if is_plain else 1
        while waiting or rows.living:
            free = most_rows - len(rows.living)
            if waiting and (free >= most_rows / 2 or free >= len(waiting)):
                admitted, waiting = waiting[-free:], waiting[:-free]
                rows.admit([(p, prompts[p]) for p in admitted])
            else:
                rows.feed_last_tokens()
            for row in rows.take_finished(max_new_tokens, stop_ids):
                answers[row.prompt] = Generated(row.tokens, row.finished, row.seconds)
            if progress:
                progress(len(answers), len(prompts))
        return [answers[p] for p in range(len(prompts))]


def shared_beginning(prompts: Sequence[list[int]]) -> list[int]:
    """The tokens that all prompts begin with, leaving at least one token of each."""
    if len(prompts) < 2:
        return []
    first, last = min(prompts), max(prompts)  # in sorted order the extremes differ the earliest
    most = min(map(len, prompts)) - 1
    common = next((t for t in range(most) if first[t] != last[t]), most)
    return first[:common]


Choose = Callable[[Tensor], Tensor]
"""Logits BV -> the next token of each row, B."""


def _most_likely(logits_BV: Tensor) -> Tensor:
    return logits_BV.argmax(-1)


class Sampler:
    """Draws from the smallest set of likeliest tokens that together have probability `top_p` (arXiv:1904.09751)."""

    def __init__(self, temperature: float, top_p: float, seed: int, device: torch.device) -> None:
        self.temperature, self.top_p = temperature, top_p
        self.random = torch.Generator(device).manual_seed(seed)

    def __call__(self, logits_BV: Tensor) -> Tensor:
        likeliest_BV, order_BV = (logits_BV / self.temperature).softmax(-1).sort(descending=True)
        before_BV = likeliest_BV.cumsum(-1) - likeliest_BV
        likeliest_BV[before_BV >= self.top_p] = 0.0
        return order_BV.gather(1, torch.multinomial(likeliest_BV, 1, generator=self.random))[:, 0]


@dataclass
class _Row:
    prompt: int
    position: int
    tokens: list[int] = field(default_factory=list)
    finished: bool = False
    seconds: float = 0.0


class _Rows:
    """The living rows of a batch, their cache (K columns) and the mask that says which columns a row may see."""

    def __init__(self, model: PreTrainedModel, shared: list[int], choose: Choose = _most_likely) -> None:
        self.model = model
        self.choose = choose
        self.living: list[_Row] = []
        self.cache = DynamicCache(config=model.config)
        self.mask_BK = torch.ones((0, 0), dtype=torch.long, device=model.device)
        self.shared_length = len(shared)
        self.shared = DynamicCache(config=model.config)
        if shared:
            hidden_states(model, torch.tensor([shared], device=model.device), cache=self.shared)

    def that_fit(self, tokens: int) -> int:
        """How many rows of this many tokens the memory for keys and values holds; at least one."""
        config = self.model.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        bytes_per_token = 2 * config.num_hidden_layers * heads * head_size * self.model.dtype.itemsize
        return max(1, cache_budget_bytes(self.model.device) // (bytes_per_token * tokens))

    def admit(self, prompts: Sequence[tuple[int, list[int]]]) -> None:
        """Take in (number, tokens) of new prompts and make the first token of each."""
        began = time.perf_counter()
        rests = [tokens[self.shared_length :] for _, tokens in prompts]
        longest = max(map(len, rests))
        tokens_BT = torch.tensor([[0] * (longest - len(rest)) + rest for rest in rests], device=self.model.device)
        mask_BK = torch.tensor(
            [[1] * self.shared_length + [0] * (longest - len(rest)) + [1] * len(rest) for rest in rests],
            device=self.model.device,
        )
        positions_BT = (mask_BK.cumsum(1) - 1).clamp(min=0)[:, self.shared_length :]
        cache = _spread(self.shared, len(prompts), self.model)
        hidden_BTD = hidden_states(self.model, tokens_BT, cache=cache, mask_BT=mask_BK, positions_BT=positions_BT)
        new = [_Row(number, len(tokens)) for number, tokens in prompts]
        self._append_tokens(new, hidden_BTD[:, -1], began)
        self._join(new, cache, mask_BK)

    def _join(self, new: list[_Row], cache: DynamicCache, mask_BK: Tensor) -> None:
        """Put new rows under the living ones; the shorter cache is padded on the left."""
        if not self.living:
            self.living, self.cache, self.mask_BK = new, cache, mask_BK
            return
        columns = max(self.mask_BK.shape[1], mask_BK.shape[1])
        for old_layer, new_layer in zip(self.cache.layers, cache.layers, strict=True):
            for name in ("keys", "values"):
                halves = [getattr(old_layer, name), getattr(new_layer, name)]
                joined = torch.cat([pad(half, (0, 0, columns - half.shape[-2], 0)) for half in halves])
                setattr(old_layer, name, joined)
        self.mask_BK = torch.cat([pad(mask, (columns - mask.shape[1], 0)) for mask in (self.mask_BK, mask_BK)])
        self.living += new

    def feed_last_tokens(self) -> None:
        """One token further in every row."""
        began = time.perf_counter()
        device = self.model.device
        tokens_B1 = torch.tensor([[row.tokens[-1]] for row in self.living], device=device)
        positions_B1 = torch.tensor([[row.position] for row in self.living], device=device)
        self.mask_BK = pad(self.mask_BK, (0, 1), value=1)
        hidden_B1D = hidden_states(
            self.model, tokens_B1, cache=self.cache, mask_BT=self.mask_BK, positions_BT=positions_B1
        )
        for row in self.living:
            row.position += 1
        self._append_tokens(self.living, hidden_B1D[:, -1], began)

    def _append_tokens(self, rows: list[_Row], hidden_BD: Tensor, began: float) -> None:
        next_B = self.choose(logits_of(self.model, hidden_BD)).tolist()
        seconds = (time.perf_counter() - began) / len(rows)
        for row, token in zip(rows, next_B, strict=True):
            row.tokens.append(token)
            row.seconds += seconds

    def take_finished(self, max_new_tokens: int, stop_ids: set[int]) -> list[_Row]:
        """Remove and return the rows that said a stop token (it is taken off) or reached the limit."""
        done = []
        for row in self.living:
            if row.tokens[-1] in stop_ids:
                row.tokens.pop()
                row.finished = True
            if row.finished or len(row.tokens) == max_new_tokens:
                done.append(row)
        if len(done) == len(self.living):
            self.living = []
        elif done:
            keep = [b for b, row in enumerate(self.living) if row not in done]
            self.living = [self.living[b] for b in keep]
            kept_B = torch.tensor(keep, dtype=torch.long, device=self.model.device)
            self.cache.batch_select_indices(kept_B)
            self.mask_BK = self.mask_BK[kept_B]
        return done


def _spread(shared: DynamicCache, rows: int, model: PreTrainedModel) -> DynamicCache:
    """A cache of `rows` rows that begins with the shared keys and values."""
    cache = DynamicCache(config=model.config)
    for index, layer in enumerate(shared.layers):
        if isinstance(layer, DynamicLayer) and layer.keys is not None and layer.values is not None:
            cache.update(layer.keys.expand(rows, -1, -1, -1), layer.values.expand(rows, -1, -1, -1), index)
    return cache
