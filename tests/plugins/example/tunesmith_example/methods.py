"""What tunesmith must know of the losses before a training begins. It imports no torch."""

from tunesmith.records.method_specs import MethodSpec

HINGE = MethodSpec(
    build="tunesmith_example.hinge:Hinge",  # called with the recipe
    data="pairs",
    rate_factor=1 / 60,
    rate_source="hinge takes DPO's share of SFT's rate, which it bounds once a pair is separated",
    sections=("dpo",),  # its beta is `dpo.beta`
)

CLIPPED = MethodSpec(
    build="tunesmith_example.clipped:Clipped.from_recipe",
    data="ratings",
    rate_factor=1 / 60,
    rate_source="clipped takes DPO's share of SFT's rate, because it moves away from a reference",
)
