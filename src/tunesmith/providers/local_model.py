"""A model on this machine, opened in two steps: its name and tokenizer (light), then its weights (torch)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

from tunesmith.model_folder.model_files import list_model_files
from tunesmith.models.model_config import read_context_tokens
from tunesmith.models.resolve import resolve_model
from tunesmith.models.tokenizer import load_tokenizer
from tunesmith.providers.label_completer import LabelCompleter
from tunesmith.providers.local_completer import LocalCompleter
from tunesmith.providers.prompt_encoding import encode_pairs
from tunesmith.records import (
    AnswerLogprob,
    ChatTokenizer,
    ModelIdentity,
    OutputConstraint,
    ProgressCallback,
    Prompt,
    Recipe,
)

if TYPE_CHECKING:
    from tunesmith.engine.model_loading import LoadedModel, Precision


def resolve(name: str, revision: str | None = None) -> ModelIdentity:
    """What a model name means here; the embedded model is made on first use. Errors: `ModelError`."""

    def convert(gguf: Path, folder: Path) -> None:
        from tunesmith.engine.gguf_conversion import convert_gguf

        convert_gguf(gguf, folder)

    return resolve_model(name, revision, convert)


@dataclass(frozen=True)
class ResolvedModel:
    """A resolved model with its tokenizer. `read_context_tokens` is None when its settings do not say."""

    identity: ModelIdentity
    tokenizer: ChatTokenizer
    context_tokens: int | None

    @classmethod
    def open(cls, name: str, revision: str | None = None) -> "ResolvedModel":
        """Resolve a name, verify its files, read its tokenizer. Errors: `ModelError`."""
        identity = resolve(name, revision)
        return cls(identity, load_tokenizer(identity.folder, identity.adapter), read_context_tokens(identity.folder))

    def load(self, precision: "Precision" = "auto", batch_size: int = 32, *, four_bits: bool = False) -> "LocalModel":
        """Load the weights, and the adapter if the name meant one. Errors: `ModelError`, `MissingExtraError`."""
        from tunesmith.engine.model_loading import load_model

        adapter = Path(self.identity.adapter) if self.identity.adapter else None
        loaded = load_model(self.identity.folder, precision, adapter, four_bits=four_bits)
        return LocalModel(self, loaded, batch_size)

    def load_for_recipe(self, recipe: Recipe) -> "LocalModel":
        """Load the weights as the recipe trains them. Errors: `ModelError`, `MissingExtraError`."""
        four_bits = recipe.adapter.kind == "qlora"
        return self.load(recipe.training.precision, recipe.evaluation.batch_size, four_bits=four_bits)


@dataclass(frozen=True)
class LocalModel:
    """A model in memory: it answers as the base model and, once it carries an adapter, as the tuned one."""

    resolved: ResolvedModel
    loaded: "LoadedModel"
    batch_size: int

    @property
    def accelerator(self) -> str | None:
        """The name of the device if it is no CPU."""
        from tunesmith.engine.model_loading import get_accelerator_name

        return get_accelerator_name(self.loaded.device)

    def with_adapter(self, resolved: ResolvedModel, recipe: Recipe) -> "LocalModel":
        """These weights with the adapter of `named`, which was made for them; a whole model is loaded instead.

        Errors: `ModelError` when the adapter does not fit.
        """
        if resolved.identity.adapter is None:
            return resolved.load_for_recipe(recipe)
        from tunesmith.engine.adapters.peft_format import read_adapter

        read_adapter(self.loaded.model, Path(resolved.identity.adapter))
        return self

    @overload
    def create_completer(self, max_new_tokens: int, output_constraint: None = None) -> LocalCompleter: ...

    @overload
    def create_completer(
        self, max_new_tokens: int, output_constraint: OutputConstraint, *, is_calibrated: bool = False
    ) -> LocalCompleter | LabelCompleter: ...

    def create_completer(
        self, max_new_tokens: int, output_constraint: OutputConstraint | None = None, *, is_calibrated: bool = False
    ) -> LocalCompleter | LabelCompleter:
        """Answers with the model as it stands when asked: with its adapter once it has one.

        With a `form` it can give no other answer; `is_calibrated` concerns labels (`local_labels.py`).
        Errors: `UsageError` when answers cannot be held to the JSON schema.
        """
        from tunesmith.engine.generator import Generator

        tokenizer, generator = self.resolved.tokenizer, Generator(self.loaded, self.batch_size)
        if output_constraint is not None and output_constraint.labels:
            return LabelCompleter(tokenizer, generator, output_constraint.labels, is_calibrated)
        if output_constraint is None or output_constraint.json_schema is None:
            return LocalCompleter(tokenizer, generator, max_new_tokens)
        from tunesmith.engine.generation.json_constraint import JsonGrammar

        identity = self.resolved.identity
        path = list_model_files(Path(identity.folder), Path(identity.adapter) if identity.adapter else None)[
            "tokenizer.json"
        ]
        grammar = JsonGrammar(path, output_constraint.json_schema, tokenizer.stop_ids)
        return LocalCompleter(tokenizer, generator, max_new_tokens, grammar.build_constraint)

    def compute_logprobs(
        self, prompts: Sequence[Prompt], answers: Sequence[str], progress: ProgressCallback | None = None
    ) -> list[AnswerLogprob]:
        """How likely the model as it stands finds each answer after its prompt, end of turn included.

        An empty prompt asks for a plain text: from its second token on, without an end of turn, which plain texts do
        not have. NaN over 0 tokens where nothing can be asked: the template refuses the prompt, or all is too long.
        """
        from tunesmith.engine.generator import Generator

        tokenizer, generator = self.resolved.tokenizer, Generator(self.loaded, self.batch_size)
        texts = list(encode_pairs(tokenizer, prompts, answers))
        asked = [i for i, (ids, begin) in enumerate(texts) if begin < len(ids) <= generator.context_length]
        found = generator.compute_log_probabilities(
            [texts[i][0] for i in asked], [texts[i][1] for i in asked], progress
        )
        likelihoods = [AnswerLogprob(math.nan, 0)] * len(texts)
        for i, log_probability in zip(asked, found, strict=True):
            ids, begin = texts[i]
            likelihoods[i] = AnswerLogprob(log_probability, len(ids) - begin)
        return likelihoods
