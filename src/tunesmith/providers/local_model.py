"""A model on this machine, opened in two steps: identity and tokenizer (light), weights (torch)."""

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
from tunesmith.records.recipe import ALL_LINEAR, TargetModules

if TYPE_CHECKING:
    from tunesmith.engine.model_loading import LoadedModel, Precision


def resolve(name: str, revision: str | None = None) -> ModelIdentity:
    """The identity of a model name on this machine; the embedded model is converted on first use.

    Errors: `ModelError`.
    """

    # Passed in as a function, because `models` must not import the engine (torch).
    def convert(gguf: Path, folder: Path) -> None:
        from tunesmith.engine.gguf_import import import_gguf

        import_gguf(gguf, folder)

    return resolve_model(name, revision, convert)


@dataclass(frozen=True)
class ResolvedModel:
    """A resolved model with its tokenizer. `context_tokens` is None if its config does not say."""

    identity: ModelIdentity
    tokenizer: ChatTokenizer
    context_tokens: int | None

    @classmethod
    def open(cls, name: str, revision: str | None = None) -> "ResolvedModel":
        """Resolve a name, verify its files, load its tokenizer. Errors: `ModelError`."""
        identity = resolve(name, revision)
        return cls(
            identity,
            load_tokenizer(identity.folder, identity.adapter),
            read_context_tokens(identity.folder),
        )

    def check_target_modules(self, target_modules: TargetModules) -> None:
        """Errors: `ModelError` for a name that no linear layer of the model has."""
        if target_modules != ALL_LINEAR:
            from tunesmith.engine.adapters.target_modules import check_target_modules

            check_target_modules(Path(self.identity.folder), target_modules)

    def load(
        self, precision: "Precision" = "auto", batch_size: int = 32, *, four_bits: bool = False
    ) -> "LocalModel":
        """Load the weights, and the adapter if the name refers to one.

        Errors: `ModelError`, `MissingExtraError`.
        """
        # Imported here, like all of the engine in this module: it loads torch.
        from tunesmith.engine.model_loading import load_model

        adapter = Path(self.identity.adapter) if self.identity.adapter else None
        loaded = load_model(self.identity.folder, precision, adapter, four_bits=four_bits)
        return LocalModel(self, loaded, batch_size)

    def load_for_recipe(self, recipe: Recipe) -> "LocalModel":
        """Load the weights in the precision in which the recipe trains them.

        Errors: `ModelError`, `MissingExtraError`.
        """
        four_bits = recipe.adapter.load_in_4bit
        return self.load(recipe.training.dtype, recipe.evaluation.batch_size, four_bits=four_bits)


@dataclass(frozen=True)
class LocalModel:
    """A model in memory: the base model, or the tuned model once an adapter is attached."""

    resolved: ResolvedModel
    loaded: "LoadedModel"
    batch_size: int

    @property
    def accelerator(self) -> str | None:
        """The accelerator's name; None on a CPU."""
        from tunesmith.engine.model_loading import get_accelerator_name

        return get_accelerator_name(self.loaded.device)

    def with_adapter(self, resolved: ResolvedModel, recipe: Recipe) -> "LocalModel":
        """This model with the adapter of `resolved`, which must be made for the same base weights.
        If `resolved` is a complete model and no adapter, it is loaded instead.

        Errors: `ModelError` if the adapter does not fit.
        """
        if resolved.identity.adapter is None:
            return resolved.load_for_recipe(recipe)
        from tunesmith.engine.adapters.peft_format import read_adapter

        read_adapter(self.loaded.model, Path(resolved.identity.adapter))
        return self

    @overload
    def create_completer(
        self, max_new_tokens: int, output_constraint: None = None
    ) -> LocalCompleter: ...

    @overload
    def create_completer(
        self,
        max_new_tokens: int,
        output_constraint: OutputConstraint,
        *,
        is_calibrated: bool = False,
    ) -> LocalCompleter | LabelCompleter: ...

    def create_completer(
        self,
        max_new_tokens: int,
        output_constraint: OutputConstraint | None = None,
        *,
        is_calibrated: bool = False,
    ) -> LocalCompleter | LabelCompleter:
        """A completer for the model in its state at the time of each request: with the adapter once
        one is attached.

        With an `output_constraint` only answers that satisfy it are possible; `is_calibrated`
        applies to labels (see `label_completer.py`).

        Errors: `UsageError` if the JSON schema cannot be enforced.
        """
        from tunesmith.engine.generator import Generator

        tokenizer, generator = self.resolved.tokenizer, Generator(self.loaded, self.batch_size)
        if output_constraint is not None and output_constraint.labels:
            return LabelCompleter(tokenizer, generator, output_constraint.labels, is_calibrated)
        if output_constraint is None or output_constraint.json_schema is None:
            return LocalCompleter(tokenizer, generator, max_new_tokens)
        # A JSON constraint needs the tokenizer's file; an adapter may bring its own tokenizer.
        from tunesmith.engine.generation.json_constraint import JsonGrammar

        identity = self.resolved.identity
        path = list_model_files(
            Path(identity.folder), Path(identity.adapter) if identity.adapter else None
        )["tokenizer.json"]
        grammar = JsonGrammar(path, output_constraint.json_schema, tokenizer.stop_ids)
        return LocalCompleter(tokenizer, generator, max_new_tokens, grammar.build_constraint)

    def compute_logprobs(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[str],
        progress: ProgressCallback | None = None,
    ) -> list[AnswerLogprob]:
        """Log probability of each answer after its prompt, end of turn included.

        With an empty prompt the answer is plain text: it is scored from its second token on (the
        first has no context) and without an end of turn, which plain text does not have. NaN over 0
        tokens if the template rejects the prompt or the text exceeds the context.
        """
        from tunesmith.engine.generator import Generator

        tokenizer, generator = self.resolved.tokenizer, Generator(self.loaded, self.batch_size)
        texts = list(encode_pairs(tokenizer, prompts, answers))
        # Skips rejected prompts (no tokens), empty answers and texts beyond the context.
        asked = [
            i
            for i, (ids, begin) in enumerate(texts)
            if begin < len(ids) <= generator.context_length
        ]
        found = generator.compute_log_probabilities(
            [texts[i][0] for i in asked], [texts[i][1] for i in asked], progress
        )
        likelihoods = [AnswerLogprob(math.nan, 0)] * len(texts)
        for i, log_probability in zip(asked, found, strict=True):
            ids, begin = texts[i]
            likelihoods[i] = AnswerLogprob(log_probability, len(ids) - begin)
        return likelihoods
