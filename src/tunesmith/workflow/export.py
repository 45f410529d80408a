"""A tuned model -> an ordinary model folder that needs neither tunesmith nor an adapter, proven to be the same."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.errors import ModelError, RunError, StoreError
from tunesmith.providers.local_model import NamedModel
from tunesmith.records import ChatTokenizer, Message, Run
from tunesmith.runs.folder import RunFolder
from tunesmith.store.store import Store
from tunesmith.workflow.inventory import folder_if_run
from tunesmith.workflow.tuning import artifact_of

if TYPE_CHECKING:
    from tunesmith.engine.adapters.merge import Proof

PROBES = 8
MOST_PROBE_TOKENS = 1024
TEXTS = (
    "The capital of France is Paris, and the river that runs through it is the Seine.",
    "def add(a, b):\n    return a + b\n\nprint(add(2, 3))",
    'Dear Sir or Madam, I am writing to ask when my order of 12 March will arrive. Number 4711-B, {"express": true}.',
    "Die Katze schläft auf dem Sofa. 猫在沙发上睡觉。 Le chat dort sur le canapé.",
)
"""What a model is asked whose run left no samples."""


def export(name: str, to: Path) -> "Proof":
    """Write what a run trained, or an adapter on its model, as a model folder `to`.

    Errors: `ModelError`, `StoreError`; `GateFailed` when the merged model would answer otherwise: nothing is written.
    """
    from tunesmith.engine.adapters.merge import export_merged

    place = Path(folder_if_run(name))
    is_run = (place / "run.json").is_file()
    named = NamedModel.open(str(place))
    identity = named.identity
    if identity.adapter is None and not is_run:
        raise ModelError(
            "nothing-tuned",
            "This is a base model; there is nothing to merge.",
            where=name,
            do="give a run or an adapter",
        )
    probes = probes_of(RunFolder.open(place) if is_run else None, named.tokenizer, named.context_tokens)
    proof = export_merged(Path(identity.folder), Path(identity.adapter) if identity.adapter else None, probes, to)
    if is_run:
        _remember(RunFolder.open(place).read(Run).id, to)
    return proof


def probes_of(run: RunFolder | None, tokenizer: ChatTokenizer, context_tokens: int | None) -> list[list[int]]:
    """The validation examples that a run answered while it was trained, rendered with their answers; else `TEXTS`."""
    texts = list(TEXTS)
    if run is not None:
        instruction = run.read_recipe().data.instruction
        system = (Message("system", instruction),) if instruction else ()
        asked = {sample.example: sample for sample in run.samples().records}
        told = [
            (*system, Message("user", sample.question), Message("assistant", sample.expected))
            for sample in list(asked.values())[:PROBES]
        ]
        with suppress(ModelError):  # a template that refuses these roles: the texts will do
            texts = [tokenizer.render(messages) for messages in told] or texts
    most = min(MOST_PROBE_TOKENS, context_tokens or MOST_PROBE_TOKENS)
    return [encoded.ids[:most] for encoded in tokenizer.encode(texts)]


def _remember(run: str, to: Path) -> None:
    with (
        suppress(RunError, StoreError),
        Store.open() as store,
    ):  # the folder is written; a run from elsewhere is not known
        store.add_artifact(artifact_of("export", to, run))
