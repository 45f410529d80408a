"""How one contender was run, as data: enough to run it again in the same way."""

from typing import Literal

from tunesmith.records.example import Message
from tunesmith.records.protocols import OutputConstraint
from tunesmith.records.recipe import RemoteRecipe
from tunesmith.records.record import Record


class InferenceConfig(Record):
    """The prompt around a question and the constraint on the answer (`prompts/NAME.json` of a run).

    `model` is the base model, the tuned one, or a `remote` one. `system` is the recipe's
    instruction, for questions without a system message. `template` is a custom prompt with a
    placeholder for the question; `instruction` is appended to the system message; `shots` are
    conversations that are always shown. `index` names the search index (`index/NAME.jsonl`),
    searched by `search` for the `k` best results, as far as they fit into `max_prompt_tokens`. With
    `is_calibrated` each label's likelihood without a question is subtracted.
    """

    contender: str
    kind: str
    model: Literal["base", "tuned", "remote"] = "base"
    remote: RemoteRecipe | None = None
    system: str | None = None
    template: str = ""
    instruction: str = ""
    shots: tuple[tuple[Message, ...], ...] = ()
    index: str | None = None
    k: int = 0
    search: Literal["bm25", "dense", "hybrid"] = "bm25"
    max_prompt_tokens: int | None = None
    output_constraint: OutputConstraint | None = None
    is_calibrated: bool = False
    max_new_tokens: int
