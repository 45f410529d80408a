"""What everything outside the engine needs to know about a training method: its data, its learning
rate, its options. The loss itself is a class in `engine/methods/`, imported when a training begins.

A plugin adds a `MethodSpec` in the group `tunesmith.methods`.
"""

from dataclasses import dataclass
from typing import Literal

from tunesmith.plugins import Registry

TrainingData = Literal["answers", "pairs", "ratings"]
"""The kind of data: answers, pairs of a chosen and a rejected answer, or answers rated one by one.
"""
RATING_COLUMN = "is_desirable"
"""The column of `TokenArrays.columns_E` of data of the kind `ratings`: one bool an example."""


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """A method as the data stage, the recipe and the defaults see it.

    `build` is `module:callable`; called with the recipe, it returns a `TrainingMethod`. `data` is
    the kind of data it learns from. `rate_factor` is its fraction of SFT's learning rate and
    `rate_source` the reason, as a clause. `imitates`: it imitates answers as SFT does, possibly
    with a further term; then it gets SFT's default epochs. `sections` are the recipe sections with
    its options.
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


def name_methods(data: TrainingData) -> str:
    """The built-in methods that learn from this kind of data, for a hint: `dpo, orpo or simpo`."""
    # not those of plugins: a broken plugin must not change what is wrong with the data
    *names, last = [name for name, spec in METHODS.builtins.items() if _get_data(spec) == data]
    return " or ".join(filter(None, (", ".join(names), last)))


def _get_data(spec: "str | MethodSpec") -> str:
    assert isinstance(spec, MethodSpec)  # the table above holds specs, no import strings
    return spec.data
