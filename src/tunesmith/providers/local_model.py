"""A model on this machine, opened in two steps: its name and tokenizer (light), then its weights (torch)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.models.facts import context_tokens
from tunesmith.models.resolve import resolve_model
from tunesmith.models.tokenizer import load_tokenizer
from tunesmith.providers.local import LocalCompleter
from tunesmith.records import ChatTokenizer, ModelIdentity, Recipe

if TYPE_CHECKING:
    from tunesmith.engine.load import LoadedModel, Precision


def resolve(name: str, revision: str | None = None) -> ModelIdentity:
    """What a model name means here; the embedded model is made on first use. Errors: `ModelError`."""

    def convert(gguf: Path, folder: Path) -> None:
        from tunesmith.engine.convert import convert_gguf

        convert_gguf(gguf, folder)

    return resolve_model(name, revision, convert)


@dataclass(frozen=True)
class NamedModel:
    """A resolved model with its tokenizer. `context_tokens` is None when its settings do not say."""

    identity: ModelIdentity
    tokenizer: ChatTokenizer
    context_tokens: int | None

    @classmethod
    def open(cls, name: str, revision: str | None = None) -> "NamedModel":
        """Resolve a name, verify its files, read its tokenizer. Errors: `ModelError`."""
        identity = resolve(name, revision)
        return cls(identity, load_tokenizer(identity.folder), context_tokens(identity.folder))

    def load(self, precision: "Precision" = "auto", batch_size: int = 32, *, four_bits: bool = False) -> "LocalModel":
        """Load the weights, and the adapter if the name meant one. Errors: `ModelError`, `MissingExtraError`."""
        from tunesmith.engine.load import load_model

        adapter = Path(self.identity.adapter) if self.identity.adapter else None
        loaded = load_model(self.identity.folder, precision, adapter, four_bits=four_bits)
        return LocalModel(self, loaded, batch_size)

    def load_for(self, recipe: Recipe) -> "LocalModel":
        """Load the weights as the recipe trains them. Errors: `ModelError`, `MissingExtraError`."""
        four_bits = recipe.adapter.kind == "qlora"
        return self.load(recipe.training.precision, recipe.evaluation.batch_size, four_bits=four_bits)


@dataclass(frozen=True)
class LocalModel:
    """A model in memory: it answers as the base model and, once it carries an adapter, as the tuned one."""

    named: NamedModel
    loaded: "LoadedModel"
    batch_size: int

    @property
    def accelerator(self) -> str | None:
        """The name of the device if it is no CPU."""
        from tunesmith.engine.load import accelerator_name

        return accelerator_name(self.loaded.device)

    def completer(self, max_new_tokens: int) -> LocalCompleter:
        """Answers with the model as it stands when asked: with its adapter once it has one."""
        from tunesmith.engine.generate import Generator

        return LocalCompleter(self.named.tokenizer, Generator(self.loaded, self.batch_size), max_new_tokens)
