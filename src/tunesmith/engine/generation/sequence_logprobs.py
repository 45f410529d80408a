"""Log-probabilities of given answers, each after its own prompt: the forward pass of training,
without training.

    log p(answer | prompt) = sum over t of log p(answer_t | prompt, answer_<t)

Texts form prefix forests (`prefix_forest.py`), so shared prefixes are computed once, and only the
answers' positions reach the output head, in chunks (`token_loss.py`). Use `label_scoring.py` for
the same few answers after every prompt.

Shapes: S texts, N tokens of all of them.
"""

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np

from tunesmith.engine.methods.sft import Sft
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.engine.prefix_forest import sort_by_prefix
from tunesmith.engine.training_step import TrainingStep
from tunesmith.records import TokenArrays

MAX_CHUNK_TEXTS = 128  # between two reports of progress


def compute_log_probabilities(
    loaded: LoadedModel,
    texts: Sequence[Sequence[int]],
    begins: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
) -> list[float]:
    """Log-probability in nats of each text from its token number `begins[s]` on, given the tokens
    before.

    The first token of a text is never predicted. `progress`: called with (done, total) texts.
    Errors: `TrainingError` when memory runs out with a single text.
    """
    if not texts:
        return []
    arrays = _build_arrays(texts, begins)
    stepper = TrainingStep(loaded, Sft(), longest=max(map(len, texts)))
    # Sorted, so that texts with the same prefix are in the same forest.
    order = sort_by_prefix([arrays.get_sequence(s)[0] for s in range(len(texts))])
    found_S = np.zeros(len(texts))
    for at in range(0, len(order), MAX_CHUNK_TEXTS):
        members = order[at : at + MAX_CHUNK_TEXTS]
        found_S[members] = stepper.compute_sequence_logps(arrays, members).numpy()
        if progress is not None:
            progress(at + len(members), len(order))
    return [float(value) for value in found_S]


def _build_arrays(texts: Sequence[Sequence[int]], begins: Sequence[int]) -> TokenArrays:
    """Token arrays with loss weight 1 from `begin` on and 0 before."""
    starts_S1 = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    weights = [
        np.arange(len(text)) >= max(begin, 1) for text, begin in zip(texts, begins, strict=True)
    ]
    return TokenArrays(
        tokens_N=np.fromiter(chain.from_iterable(texts), np.int32, int(starts_S1[-1])),
        weights_N=np.concatenate(weights).astype(np.float32),
        starts_S1=starts_S1,
    )
