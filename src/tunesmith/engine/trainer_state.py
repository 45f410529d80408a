"""Everything that the next step of a training depends on, saved and restored bit by bit.

That is the trained weights, the optimizer's moments, the random state (dropout), the progress, the
memory plan (another micro-batch size rounds differently), the reference log-probabilities and the
record of the best adapter (docs/decisions/051). The position in the data is the step count, because
the order of the examples follows from the seed alone.

`state_dict` and `load_state_dict` are PyTorch's idiom: named tensors and plain numbers, which
`checkpointing.py` puts on disk. The trainer and the checkpointer import this file; it imports
neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tunesmith.engine.adapters.trainable_model import TrainableModel
from tunesmith.engine.batching import count_steps_per_epoch
from tunesmith.engine.best_checkpoint import BestCheckpoint
from tunesmith.engine.methods.method_registry import build_method
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.engine.optimizer import build_optimizer
from tunesmith.engine.schedule import TrainingProgress
from tunesmith.engine.training_step import TrainingStep
from tunesmith.errors import RunError
from tunesmith.records import MemoryPlan, ResolvedRecipe, TokenArrays
from tunesmith.records.recipe import OptimizerName

TENSOR_GROUPS = ("weights", "optimizer", "random", "reference")
"""The entries of a state dict that hold tensors; all others are plain numbers and words."""


@dataclass
class TrainerState:
    """What a trainer changes while it trains.

    `training_step` has the memory plan, and makes it smaller when memory runs out.
    `reference` is empty before it is computed, and stays empty for a method that uses none.
    """

    best: BestCheckpoint
    optimizer: torch.optim.Optimizer
    training_step: TrainingStep
    progress: TrainingProgress
    weights: Mapping[str, nn.Parameter]
    optimizer_name: OptimizerName = "adamw"
    reference: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def from_recipe(
        cls, loaded: LoadedModel, best: BestCheckpoint, recipe: ResolvedRecipe, train: TokenArrays
    ) -> "TrainerState":
        """Before the first step of what the recipe asks for; the clock starts."""
        training, weights = recipe.training, best.trainable.get_weights()
        parameters = list(weights.values())
        longest = int(np.diff(train.starts_S1).max())
        steps_per_epoch = count_steps_per_epoch(len(train), training.batch_size)
        return cls(
            best=best,
            optimizer=build_optimizer(
                training.optimizer, parameters, loaded.device, weight_decay=training.weight_decay
            ),
            training_step=TrainingStep(
                loaded,
                build_method(recipe),
                longest=longest,
                may_checkpoint=training.gradient_checkpointing != "off",
            ),
            optimizer_name=training.optimizer,
            progress=TrainingProgress.from_recipe(training, steps_per_epoch),
            weights=weights,
        )

    @property
    def trainable(self) -> TrainableModel:
        """The adapter or model whose weights are trained."""
        return self.best.trainable

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.training_step.loaded.device

    def state_dict(self) -> dict[str, Any]:
        """All of it by name. The tensors are no copies: the next step changes them."""
        state: dict[str, Any] = {
            "weights": dict(self.weights),
            "optimizer": self._collect_moments(),
            "random": collect_random_state(self.device),
            "progress": self.progress.as_state(),
            "plan": self.training_step.plan.model_dump(),
            "best": self.best.as_state(),
        }
        return state | ({"reference": self.reference} if self.reference else {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` gave.

        Where this very step is the best one, its weights are written again: a checkpoint is saved
        before them (`BestCheckpoint.restore`). Errors: `RunError` when a tensor is missing, or has
        another shape or dtype than the model's.
        """
        self._check_tensors(state)
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(state["weights"][name])
        self._restore_moments(state["optimizer"])
        restore_random_state(state["random"], self.device)
        # The model may compute with copies of the weights in another dtype (full fine-tuning in
        # bfloat16).
        self.trainable.sync_to_model()
        self.reference = dict(state.get("reference", {}))
        self.progress.restore(state["progress"])
        self.training_step.set_plan(MemoryPlan.model_validate(state["plan"]))
        self.best.restore(state["best"], self.progress.step)

    def _collect_moments(self) -> dict[str, Tensor]:
        return {
            f"{kind}/{name}": value
            for name, weight in self.weights.items()
            for kind, value in self.optimizer.state.get(weight, {}).items()
        }

    def _restore_moments(self, moments: Mapping[str, Tensor]) -> None:
        for key, value in moments.items():
            kind, _, name = key.partition("/")
            weight = self.weights[name]
            is_moment = value.ndim > 0 or value.shape == weight.shape
            # The step count stays on the CPU, except for the fused AdamW, which needs it on the
            # weight's device.
            is_moved = is_moment or self.optimizer.defaults.get("fused")
            device = weight.device if is_moved else value.device
            self.optimizer.state[weight][kind] = value.to(device, copy=True)

    def _check_tensors(self, state: Mapping[str, Any]) -> None:
        there = {name: (tensor.shape, tensor.dtype) for name, tensor in state["weights"].items()}
        here = {name: (weight.shape, weight.dtype) for name, weight in self.weights.items()}
        names = sorted(there.keys() | here.keys())
        odd = [name for name in names if there.get(name) != here.get(name)]
        for key, moment in state["optimizer"].items():
            weight = self.weights.get(key.partition("/")[2])
            if weight is None or not _is_moment_of(moment, weight):
                odd.append(key)
        if odd:
            raise RunError(
                "checkpoint-misfit",
                "checkpoint does not match this run",
                at=f"step {state['progress']['step']}",
                got=f"{len(odd):,} tensors differ, first {odd[0]!r}",
                hint="resume with the original recipe and model",
            )


def _is_moment_of(moment: Tensor, weight: Tensor) -> bool:
    """Whether the shape is the weight's, or has 1 where Adafactor has means; or a step count's."""
    return moment.ndim == 0 or (
        moment.ndim == weight.ndim
        and all(ours in (1, size) for ours, size in zip(moment.shape, weight.shape, strict=True))
    )


def collect_random_state(device: torch.device) -> dict[str, Tensor]:
    """The states of the generators that dropout draws from."""
    random = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        random["cuda"] = torch.cuda.get_rng_state(device)
    return random


def restore_random_state(random: Mapping[str, Tensor], device: torch.device) -> None:
    """Draw on from where `collect_random_state` was called."""
    torch.set_rng_state(random["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(random["cuda"], device)
