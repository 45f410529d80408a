"""How likely given answers are, each after its own prompt: the forward pass of training, with nothing trained.

    log p(answer | prompt) = sum over t of log p(answer_t | prompt, answer_<t)

Texts are laid out as prefix forests (`forest.py`), so what they begin with in common is computed once, and only the
answers' positions reach the output head, in pieces (`loss.py`). `score.py` is for the same few answers after every
prompt.

Shapes: S texts, N tokens of all of them.
"""

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np

from tunesmith.engine.forest import reading_order
from tunesmith.engine.load import LoadedModel
from tunesmith.engine.methods.sft import Sft
from tunesmith.engine.step import Stepper
from tunesmith.records import TokenArrays

TEXTS_AT_ONCE = 128  # between two reports of progress


def log_probabilities(
    loaded: LoadedModel,
    texts: Sequence[Sequence[int]],
    begins: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
) -> list[float]:
    """Of each text from its token `begin` on; the first token of a text is never predicted."""
    if not texts:
        return []
    arrays = _arrays(texts, begins)
    stepper = Stepper(loaded, Sft(), longest=max(map(len, texts)))
    order = reading_order([arrays.sequence(s)[0] for s in range(len(texts))])
    found_S = np.zeros(len(texts))
    for at in range(0, len(order), TEXTS_AT_ONCE):
        members = order[at : at + TEXTS_AT_ONCE]
        found_S[members] = stepper.sequence_logps(arrays, members).numpy()
        if progress is not None:
            progress(at + len(members), len(order))
    return [float(value) for value in found_S]


def _arrays(texts: Sequence[Sequence[int]], begins: Sequence[int]) -> TokenArrays:
    """Loss weight 1 from `begin` on."""
    starts_S1 = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    weights = [np.arange(len(text)) >= max(begin, 1) for text, begin in zip(texts, begins, strict=True)]
    return TokenArrays(
        tokens_N=np.fromiter(chain.from_iterable(texts), np.int32, int(starts_S1[-1])),
        weights_N=np.concatenate(weights).astype(np.float32),
        starts_S1=starts_S1,
    )
