"""Before money is spent: what a test set of this size can show, and what to do when that is not enough.

A difference d of two contenders that disagree on the share s of the examples is told from noise by n examples with
80 % power when d reaches the minimum detectable one (`evaluation/stats/power.py`). Where several contenders try to beat
the same simpler one, Holm asks more of each; the difference grows by the ratio r of the standard errors asked for
(`duel.standard_errors`), the number of examples by r^2.

Nothing measured yet: s = 25 %. Two contenders that are each right 70 % of the time and whose answers correlate with
0.4 disagree on 2 * 0.7 * 0.3 * (1 - 0.4) = 25 %. A measured share (on the validation examples) is better. Graded scores
differ by less than 1 where they differ, so for them these numbers are on the safe side.
"""

import math
from collections.abc import Iterator

from tunesmith.decision.bar import LEAST_EXAMPLES, worthwhile_gain
from tunesmith.decision.duel import standard_errors
from tunesmith.records import Bar, PowerStatement
from tunesmith.records.quantity import hundredths, percent

ASSUMED_DISCORDANT = 0.25


def what_can_be_shown(
    n: int,
    bar: Bar,
    discordant: float | None = None,
    *,
    comparisons: int = 1,
    train: int = 0,
    unused: int = 0,
) -> PowerStatement:
    """What `n` test examples can show, against what the bar asks for.

    `discordant`: the share of examples on which two contenders disagree, None when nothing was measured.
    `comparisons`: how many dearer contenders try to beat the simplest. `train` examples could be moved to the test
    side; `unused` are test examples that `evaluation.test_limit` leaves out.
    """
    # imported here: numpy and scipy are slow to load, and the rules themselves do without
    from tunesmith.evaluation.stats.power import minimum_detectable, needed_for

    wanted = worthwhile_gain(bar)
    share = max(ASSUMED_DISCORDANT if discordant is None else discordant, wanted)
    harder = standard_errors(max(comparisons, 1)) / standard_errors()
    smallest = minimum_detectable(n, share) * harder
    shows = smallest if smallest <= 1 else None
    needed = max(math.ceil(needed_for(wanted, share) * harder**2), LEAST_EXAMPLES)
    is_enough = n >= needed
    return PowerStatement(
        n=n,
        wanted=wanted,
        shows=shows,
        needed=needed,
        discordant=share,
        is_assumed=discordant is None,
        comparisons=max(comparisons, 1),
        is_enough=is_enough,
        sentence=_sentence(n, shows, bar, needed, is_enough) + _assumption(share, discordant is None),
        options=() if is_enough else tuple(_options(n, needed, shows, train, unused)),
    )


def _sentence(n: int, shows: float | None, bar: Bar, needed: int, is_enough: bool) -> str:
    """`80 test examples can show 11 points, you asked for 3: about 1,050 are needed`."""
    examples = f"{n:,} test {'example' if n == 1 else 'examples'}"
    wanted = hundredths(worthwhile_gain(bar)).removesuffix(".0")
    asked = f"you asked for {wanted}" if bar.min_gain > 0 else f"{wanted} are worth waiting for (you named no min_gain)"
    can = f"can show {hundredths(shows).removesuffix('.0')} points" if shows is not None else "can show no difference"
    if is_enough:
        return f"{examples} {can}, {asked}: that is enough."
    return f"{examples} {can}, {asked}: about {_round(needed):,} are needed."


def _assumption(share: float, is_assumed: bool) -> str:
    """What the numbers rest on."""
    if is_assumed:
        return f" (Assumed: two contenders disagree on {percent(share)} of the examples; nothing was measured yet.)"
    return f" (Measured: two contenders disagree on {percent(share)} of the examples.)"


def _options(n: int, needed: int, shows: float | None, train: int, unused: int) -> Iterator[str]:
    """What costs least comes first: examples that are there, then a smaller claim, then new examples, then nothing."""
    missing = _round(needed) - n
    if unused:
        more = "that is enough" if unused >= missing else f"{missing - unused:,} would still be missing"
        yield f"Use the {unused:,} test examples that evaluation.test_limit leaves out: {more}."
        missing -= unused
    if missing > 0 and train >= 2 * missing:
        share = math.ceil(100 * (n + unused + missing) / (n + unused + train)) / 100
        yield (
            f"Move {missing:,} of the {train:,} train examples to the test side (data.test_share={share:g} of "
            "train and test together)."
        )
    if missing > 0:
        yield f"Label {missing:,} more test examples."
    if shows is not None:
        gain = math.ceil(100 * shows) / 100
        yield f"Care only about larger gains: bar.min_gain={gain:g} is what these examples can show."
    yield (
        "Go on as it is: only a larger difference will be told from noise, and smaller ones end in the simplest "
        "contender or in 'cannot tell'."
    )


def _round(count: int) -> int:
    """Rounded up, as nobody counts on single examples: 1,037 -> 1,050, 2,175 -> 2,200."""
    unit = 5 * int(f"1{'0' * (len(str(count)) - 3)}") if count >= 1000 else 1
    return math.ceil(count / unit) * unit
