"""The training services that a recipe may name.

Each is a function from the recipe to a `TrainingService` (`training/training_service.py`), imported
when a training begins; a plugin adds one in the group `tunesmith.training_services`.
"""

from collections.abc import Callable
from typing import Any

from tunesmith.plugins import Registry

LOCAL = "local"
TRAINING_SERVICES: Registry[Callable[..., Any]] = Registry(
    "tunesmith.training_services",
    "training service",
    {LOCAL: "tunesmith.training.local_trainer:LocalTrainer"},
)
