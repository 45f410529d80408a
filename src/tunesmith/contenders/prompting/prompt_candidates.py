"""Prompt search: instructions combined with shot sets; `successive_halving.select_candidate` finds
the best pair on the validation examples.

    candidates = build_prompt_candidates(
        write_instructions(...), build_shot_candidates(...), trials
    )

Not all combinations are tried, only the first `trials` pairs: every instruction with the best shot
set, then every instruction alone, then with the second-best set, and so on (one step of coordinate
ascent before the rest). Instructions and shots come from the train examples and the selection from
the validation examples; the test examples are out of reach.
"""

from collections.abc import Sequence

from tunesmith.contenders.prompting.context_budget import ContextBudget
from tunesmith.contenders.prompting.few_shot import append_instruction, with_shots
from tunesmith.contenders.prompting.prompt_builder import PromptBuilder
from tunesmith.contenders.prompting.prompt_instructions import Instruction
from tunesmith.contenders.successive_halving import Candidate
from tunesmith.records import Example, Prompt


def build_prompt_candidates(
    instructions: Sequence[Instruction],
    shot_sets: Sequence[Candidate],
    trials: int,
    longest_prompt: Prompt = (),
    context_budget: ContextBudget | None = None,
) -> list[Candidate]:
    """At most `trials` prompts, the shortest first, without those that leave the longest question
    no room.

    Expects the best shot sets first, in the order of an earlier selection
    (`SelectionResult.trials`). The pair without instruction and shots is left out: it is the
    zero-shot baseline, which is measured anyway.
    """
    sets: list[Candidate | None] = [*shot_sets[:1], None, *shot_sets[1:]]
    pairs = [(instruction, shots) for shots in sets for instruction in instructions]
    fitting = [
        _build_candidate(instruction, shots)
        for instruction, shots in pairs
        if (instruction.text or shots)
        and (
            context_budget is None
            or context_budget.fits(
                _build_prompt(longest_prompt, instruction.text, shots.shots if shots else ())
            )
        )
    ]
    return sorted(fitting[:trials], key=_count_added_characters)


def _build_prompt(prompt: Prompt, instruction: str, shots: Sequence[Example]) -> Prompt:
    return with_shots(append_instruction(prompt, instruction) if instruction else prompt, shots)


def _count_added_characters(candidate: Candidate) -> int:
    """Characters added before every question."""
    turns = (message for shot in candidate.shots for message in shot.messages)
    return len(candidate.instruction) + sum(len(message.content) for message in turns)


def _build_candidate(instruction: Instruction, shots: Candidate | None) -> Candidate:
    names = [part for part in (instruction.text and instruction.name, shots and shots.name) if part]
    given = [f'the instruction "{instruction.name}"'] if instruction.text else []
    given += [shots.description] if shots else []
    prompting = PromptBuilder(instruction.text, shots.shots if shots else ())
    return Candidate.from_builder(" + ".join(names), " and ".join(given), prompting)
