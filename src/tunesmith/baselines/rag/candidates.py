"""How much is looked up, and with which instruction: candidates for a choice on validation."""

from collections.abc import Sequence

from tunesmith.baselines.choosing import Candidate
from tunesmith.baselines.instructions import NOTHING_ADDED, Instruction
from tunesmith.baselines.prompting import Prompting
from tunesmith.baselines.rag.answer import Index
from tunesmith.baselines.room import Room

USUAL_KS = (1, 3, 5, 8)


def retrieval_candidates(
    index: Index,
    ks: Sequence[int] = USUAL_KS,
    instructions: Sequence[Instruction] = (NOTHING_ADDED,),
    room: Room | None = None,
) -> list[Candidate]:
    """Each k with each instruction, the smallest k first. A question gets as many of its k finds as it has room for."""
    return [_candidate(index, k, instruction, room) for k in sorted(set(ks)) for instruction in instructions]


def _candidate(index: Index, k: int, instruction: Instruction, room: Room | None) -> Candidate:
    given = f"the {k} nearest of {index.told}" if k > 1 else f"the nearest of {index.told}"
    name = f"k = {k}"
    if instruction.text:
        given, name = f'the instruction "{instruction.name}" and {given}', f"{name} + {instruction.name}"
    return Candidate.of(name, given, Prompting(instruction.text, index=index, k=k, room=room))
