"""Sets of fixed shots as candidates: how many shots, and which ones.

The number doubles (1, 2, 4 ... up to the maximum). For each number there are sets drawn with
different seeds: which examples are shown matters as much as how many (Zhao et al. 2021, "Calibrate
before use", arXiv:2102.09690, section 3). All sets of one seed share a prefix. If the answers are
labels, one more set shows each label once: it is long, but the same before every question, so it
is computed only once.
"""

from collections.abc import Sequence

from tunesmith.contenders.prompting.context_budget import ContextBudget
from tunesmith.contenders.prompting.few_shot import choose_shots, with_shots
from tunesmith.contenders.prompting.prompt_builder import PromptBuilder
from tunesmith.contenders.successive_halving import Candidate
from tunesmith.data.label_detection import MAX_LABELS
from tunesmith.records import Example, Prompt

NUM_SHOT_SETS = 2


def build_shot_candidates(
    train: Sequence[Example],
    max_shots: int,
    seed: int,
    labels: int = 0,
    longest_prompt: Prompt = (),
    context_budget: ContextBudget | None = None,
) -> list[Candidate]:
    """Shot sets as candidates, the smallest first, without those that leave the longest question
    no room.

    `labels` is the number of distinct labels; 0 if the answers are not labels.
    """
    sets = [
        (f"set {s + 1}", choose_shots(train, max_shots, seed + s)) for s in range(NUM_SHOT_SETS)
    ]
    drawn = [
        (name, shots[:number])
        for number in list_powers_of_two(max_shots)
        for name, shots in sets
        if len(shots) >= number
    ]
    if max_shots < labels <= MAX_LABELS:
        drawn.append(("one of each label", choose_shots(train, labels, seed)))
    # Sets of different seeds coincide when there are few train examples.
    known: set[tuple[str, ...]] = set()
    candidates = []
    for name, shots in drawn:
        ids = tuple(shot.id for shot in shots)
        if ids not in known and (
            context_budget is None or context_budget.fits(with_shots(longest_prompt, shots))
        ):
            known.add(ids)
            candidates.append(_build_candidate(name, shots))
    return candidates


def list_powers_of_two(most: int) -> list[int]:
    """1, 2, 4, 8 ... below `most`, and `most` itself."""
    return sorted({*(2**power for power in range(most.bit_length()) if 2**power <= most), most})


def _build_candidate(name: str, shots: tuple[Example, ...]) -> Candidate:
    count = f"{len(shots):,} shot{'s' if len(shots) > 1 else ''} ({name})"
    given = f"{len(shots):,} fixed training example{'s' if len(shots) > 1 else ''} ({name})"
    return Candidate.from_builder(count, given, PromptBuilder(shots=shots))
