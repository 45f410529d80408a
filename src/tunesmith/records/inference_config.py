"""How one contender was asked, as data: enough to ask it again in the same way."""

from typing import Literal

from tunesmith.records.example import Message
from tunesmith.records.protocols import OutputConstraint
from tunesmith.records.recipe import RemoteRecipe
from tunesmith.records.record import Record


class InferenceConfig(Record):
    """What stands around a question and what the answer is held to (`prompts/NAME.json` of a run).

    `model` is the base model, the tuned one, or a `remote` one. `system` is the recipe's instruction, for questions
    without a system message. `template` is a prompt of the user's own with a placeholder for the question;
    `instruction` goes to the end of the system message; `shots` are conversations that are always shown. `index` names
    what is searched (`index/NAME.jsonl`), by `search`, for `k` finds as far as `most_tokens` holds them. With
    `is_calibrated` each label's likelihood without a question is taken off.
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
    search: Literal["bm25", "dense", "both"] = "bm25"
    most_tokens: int | None = None
    form: OutputConstraint | None = None
    is_calibrated: bool = False
    max_new_tokens: int
