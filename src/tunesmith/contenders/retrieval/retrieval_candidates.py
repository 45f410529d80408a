"""How many texts are retrieved, and with which instruction: candidates for a selection on the
validation examples."""

from collections.abc import Sequence

from tunesmith.contenders.prompting.context_budget import ContextBudget
from tunesmith.contenders.prompting.prompt_builder import PromptBuilder
from tunesmith.contenders.prompting.prompt_instructions import NO_INSTRUCTION, Instruction
from tunesmith.contenders.retrieval.prompt_augmentation import RetrievalIndex
from tunesmith.contenders.successive_halving import Candidate

DEFAULT_KS = (1, 3, 5, 8)


def build_retrieval_candidates(
    index: RetrievalIndex,
    ks: Sequence[int] = DEFAULT_KS,
    instructions: Sequence[Instruction] = (NO_INSTRUCTION,),
    context_budget: ContextBudget | None = None,
) -> list[Candidate]:
    """Each k with each instruction, the smallest k first. A question gets as many of its k nearest
    texts as fit."""
    return [
        _build_candidate(index, k, instruction, context_budget)
        for k in sorted(set(ks))
        for instruction in instructions
    ]


def _build_candidate(
    index: RetrievalIndex, k: int, instruction: Instruction, context_budget: ContextBudget | None
) -> Candidate:
    given = (
        f"the {k} nearest of {index.description}"
        if k > 1
        else f"the nearest of {index.description}"
    )
    name = f"k = {k}"
    if instruction.text:
        given, name = (
            f'the instruction "{instruction.name}" and {given}',
            f"{name} + {instruction.name}",
        )
    return Candidate.from_builder(
        name,
        given,
        PromptBuilder(instruction.text, index=index, k=k, context_budget=context_budget),
    )
