"""What all rooms except the engine need to know about a training method: its data, learning rate
and options. The loss itself is a class in `engine/methods/`, imported when training starts.

A plugin names a `MethodSpec` of its own in the group `tunesmith.methods`.
"""

from dataclasses import dataclass
from typing import Literal

from tunesmith.plugins import Registry

TrainingData = Literal["answers", "pairs", "ratings"]


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """A method as seen by the data, the recipe and the defaults.

    `build`: an import string of a callable that takes the recipe and returns a `TrainingMethod`.
    `data`: whether it learns from single answers, from pairs of a chosen and a rejected answer, or
    from answers rated individually. `rate_factor`: its fraction of SFT's learning rate;
    `rate_source`: the reason, as a clause. `imitates`: its loss has a term that imitates answers, as
    SFT's; then it gets SFT's number of epochs. `sections`: the recipe sections with its options.
    """

    build: str
    data: TrainingData
    rate_factor: float = 1.0
    rate_source: str = ""
    imitates: bool = False
    sections: tuple[str, ...] = ()


_PACKAGE = "tunesmith.engine.methods"
METHODS: Registry[MethodSpec] = Registry(
    "tunesmith.methods",
    "training method",
    {
        "sft": MethodSpec(f"{_PACKAGE}.sft:Sft.from_recipe", "answers", imitates=True),
        "dpo": MethodSpec(
            f"{_PACKAGE}.dpo:build_dpo",
            "pairs",
            1 / 60,
            "dpo takes a 60th of SFT's rate (Zephyr 7B: 5e-7 full, 5e-6 QLoRA)",
            sections=("dpo",),
        ),
        "orpo": MethodSpec(
            f"{_PACKAGE}.orpo:Orpo.from_recipe",
            "pairs",
            1 / 6,
            "orpo takes a sixth of SFT's rate (Zephyr 141B: 5e-6 full)",
            imitates=True,
            sections=("orpo",),
        ),
        "simpo": MethodSpec(
            f"{_PACKAGE}.simpo:Simpo.from_recipe",
            "pairs",
            1 / 60,
            "simpo takes a 60th of SFT's rate (its authors: 3e-7 to 1e-6 full at 7 and 8B)",
            sections=("simpo",),
        ),
        "kto": MethodSpec(
            f"{_PACKAGE}.kto:Kto.from_recipe",
            "ratings",
            1 / 60,
            "kto takes a 60th of SFT's rate, as dpo does (TRL's script: 5e-7 full)",
            sections=("kto",),
        ),
    },
    MethodSpec,
)
