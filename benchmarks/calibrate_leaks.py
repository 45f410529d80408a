"""Are planted leaks found, and only these? Recall and precision of `tunesmith.data.contamination`,
1 % and 5 % planted.

Made-up support messages: a situation, a thing, a detail and some wishes, each said in one of
several ways, drawn one by one. Some come out alike by chance, and as each was drawn for itself that
is no leak. A planted test example is a train example with one realistic edit: a typo, two words
exchanged, case and punctuation, a courtesy added, a word replaced. With a folder of banking77
(`python -m benchmarks.calibrate_leaks FOLDER`, or $BANKING77) the same is planted there. Its people
ask alike of their own accord, and what is found before anything is planted is set aside and told as
a row.

Bars are those of issue 4: recall >= 0.99 exact, >= 0.95 near, precision >= 0.98.
"""

import os
import random
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.calibrate_stats import Row
from tunesmith.data.contamination import find_contamination
from tunesmith.data.read import read_dataset
from tunesmith.records import Example, Message

SHARES = (0.01, 0.05)
REPEATS, QUICK = 10, 2

SITUATIONS = {
    "late": (
        (
            "my {thing} has [still|even now|again] not [arrived|come|turned up], I [ordered|bought]"
            " it {detail}"
        ),
        (
            "I [am waiting|wait|have been waiting] for my {thing} [which|that] you"
            " [sent|shipped|posted] {detail}"
        ),
        (
            "the {thing} [that|which] I [ordered|paid for|chose] {detail} [never|has not]"
            " [came|reached me|got here]"
        ),
    ),
    "broken": (
        "the {thing} [stopped|quit|no longer started] [working|running] {detail}",
        (
            "my {thing} [broke|fell apart|cracked] {detail} after [a few|only two|hardly ten]"
            " [days|uses]"
        ),
        "{detail} the {thing} [did|does|would do] [nothing|not a thing] [at all|any more]",
    ),
    "charged": (
        "I was [charged|billed|debited] [twice|two times|double] for the {thing} {detail}",
        (
            "there are two [payments|charges|entries] for [one|the same] {thing} on my"
            " [statement|bill] {detail}"
        ),
        (
            "you [took|collected|withdrew] the [money|price|amount] for the {thing} [again|once"
            " more|anew] {detail}"
        ),
    ),
    "return": (
        "I [want|wish|have] to [send|bring|post] the {thing} back that I [got|received] {detail}",
        (
            "how [can|do|may] I [return|send back|give back] a {thing} [bought|ordered|delivered]"
            " {detail}"
        ),
        (
            "the {thing} I [got|unpacked|tried] {detail} does not [fit|suit|please] [me|us] and"
            " [should|must] go back"
        ),
    ),
    "address": (
        (
            "I [moved|changed flats] {detail} and the {thing} [goes|was sent|is going] to the old"
            " [address|place]"
        ),
        "please [change|correct] where the {thing} is [delivered|brought], I [moved|left] {detail}",
        (
            "the {thing} [must|has to|should] go to my [office|mother|new flat], we [moved|settled]"
            " {detail}"
        ),
    ),
}
THINGS = (
    "kettle",
    "lamp",
    "desk",
    "jacket",
    "phone",
    "printer",
    "rug",
    "bicycle",
    "tent",
    "camera",
    "blender",
    "chair",
    "monitor",
    "backpack",
    "watch",
    "stove",
    "sofa",
    "router",
    "drill",
    "guitar",
    "scanner",
    "mattress",
    "toaster",
)
DETAILS = (
    "last Monday",
    "two weeks ago",
    "in early March",
    "before the holidays",
    "on the day of delivery",
    "a month ago",
    "this morning",
    "in the second week",
    "at the weekend",
    "around Easter",
    "while I was abroad",
    "on my birthday",
    "during the night",
    "yesterday evening",
    "right after the update",
    "with the first snow",
)
WISHES = (
    "what [should|can|must] I [do|try] about [this|it] [now|next]",
    "I would [simply|really|just] like [to have|to get|to see] my money [back|again]",
    (
        "can [somebody|anybody|a colleague] [call|ring|phone] me [this afternoon|tomorrow|after"
        " work] [about it|to talk]"
    ),
    "when will [all of this|the matter|it] [finally|ever|at last] be [put right|mended|solved]",
    "please [tell|write] me which [papers|documents|numbers] you [need|want|miss]",
    "this is [already|now] the [second|third] time that it [happens|happened] to [us|me]",
    "I [really|urgently] need an [answer|email|explanation] before [Friday|noon|the weekend]",
    "could you [check|look up|compare] the [details|data|entries] and [write|report] to me",
    (
        "my [neighbour|brother|boss] had [exactly|nearly] the same [trouble|problem] with [you|your"
        " shop]"
    ),
    "[nobody|no one] [picks up|answers] when I [ring|call|try] your [hotline|number|office]",
    "the tracking [page|link] has [shown|said] nothing new for [days|a week|ages]",
    "I [attached|enclose|added] [two|three|some] photographs and the [original|scanned] receipt",
    "a [voucher|discount] would [not|hardly] be enough for [me|us] [here|this time]",
    "your [colleague|agent|manager] [promised|offered|agreed] to look into [the matter|it|my case]",
    "it was [meant|bought|planned] to be a [present|surprise] for my [sister|son|wife]",
    "[until now|so far|for years] I was [always|mostly] [happy|content] with your [shop|service]",
    "the chat [window|box] [closes|freezes|vanishes] every time I [type|write|ask]",
    (
        "my [bank|card company] [says|insists|confirms] that everything is [fine|in order] on their"
        " side"
    ),
    "if this [takes|lasts|needs] any longer I will [cancel|return|stop] [everything|the order]",
    (
        "is there a [shop|branch|counter] [in town|nearby|close by] where I [could|may|should] go"
        " instead"
    ),
    "I [already|also] filled in the [form|page|request] on your website [twice|last night|today]",
    (
        "[perhaps|maybe|surely] somebody [mixed up|confused] two [customers|orders] with one"
        " [name|number]"
    ),
    (
        "the [driver|courier|postman] left no [card|note|slip] in our [letter box|hallway|garden]"
        " either"
    ),
    (
        "we are [only|usually|rarely] at home [after six|before nine|around noon] in the"
        " [week|summer|holidays]"
    ),
    "the [invoice|bill] shows [another|a different] [sum|amount] than the [checkout|basket] did",
    (
        "I [spoke|talked] to [three|several] people and [each|everyone] said [something"
        " else|another thing]"
    ),
    (
        "your [form|app] does not [accept|take] my [postcode|surname|birthday] [and gives no"
        " reason|at all]"
    ),
    "[friends|relatives] told me to [try|choose] another [seller|brand] but I [trusted|liked] you",
    "the [instructions|papers] in the [box|parcel] were for [another|a different] [model|version]",
    (
        "I would [rather|sooner] have the same one in [blue|black|grey] if [you have it|that is"
        " possible]"
    ),
    "there was [no|neither a] [receipt|delivery note] and the [seal|tape] was [open|torn]",
    "a [short|quick] [email|message] would have [spared|saved] me [two|three] [trips|calls]",
)
BEFORE = ("Hi there,", "Hello,", "Good morning,", "Dear team,", "Sorry to bother you,")
AFTER = ("Thanks", "Thank you very much", "Kind regards", "please", "Thanks in advance")
OTHER_WORDS = ("really", "parcel", "support", "quickly", "yesterday", "green", "still", "nobody")


def rows(quick: bool = False, banking77: str | None = None) -> list[Row]:
    """Every number with its bar."""
    folder = banking77 or os.environ.get("BANKING77")
    repeats = QUICK if quick else REPEATS
    made_up = list(_measured("made-up messages", _made_up, repeats))
    return [*made_up, *(_banking77(Path(folder), repeats) if folder else ())]


def _measured(
    name: str, draw: Callable[[random.Random], tuple[list[Example], list[Example]]], repeats: int
) -> Iterable[Row]:
    for share in SHARES:
        for kind, edits in (
            ("exact", [_same]),
            ("normalised", [_other_case]),
            ("near", list(EDITS.values())),
        ):
            counts = [
                _count(random.Random(f"{kind} {share} {i}"), draw, share, edits, kind)
                for i in range(repeats)
            ]
            planted, found, flagged = (sum(column) for column in zip(*counts, strict=True))
            of = f"{name}, {share:.0%} {kind} leaks planted ({planted:,})"
            yield _row(f"recall: {of}", found / planted, 0.95 if kind == "near" else 0.99)
            yield _row(f"precision: {of}", found / max(flagged, 1), 0.98)
    for edit_name, edit in EDITS.items() if repeats >= REPEATS else ():
        counts = [
            _count(random.Random(f"{edit_name} {i}"), draw, 0.05, [edit], "near")
            for i in range(repeats)
        ]
        planted, found, _ = (sum(column) for column in zip(*counts, strict=True))
        yield _row(f"recall: {name}, only {edit_name} ({planted:,})", found / planted)


def _count(
    dice: random.Random,
    draw: Callable[[random.Random], tuple[list[Example], list[Example]]],
    share: float,
    edits: Sequence[Callable[[str, random.Random], str]],
    kind: str,
) -> tuple[int, int, int]:
    """(planted, of these found as the kind that they are or a stronger one, test examples found in
    all)."""
    train, test = draw(dice)
    planted = set(dice.sample(range(len(test)), round(share * len(test))))
    for i in planted:
        copied = dice.choice(train)
        test[i] = _example(i + 1, dice.choice(edits)(copied.question, dice), copied.answer)
    found = {leak.held_out_line - 1 for leak in find_contamination(train, test).examples}
    return len(planted), len(found & planted), len(found)


def _made_up(dice: random.Random) -> tuple[list[Example], list[Example]]:
    """2,000 train and 1,000 test examples; no recipe is on both sides, for people rarely repeat
    another's words."""
    recipes: dict[tuple[str, ...], tuple[str, str]] = {}
    while len(recipes) < 3_000:
        label, ways = dice.choice(list(SITUATIONS.items()))
        chosen = (
            dice.choice(ways),
            dice.choice(THINGS),
            dice.choice(DETAILS),
            *dice.sample(WISHES, dice.randint(4, 6)),
        )
        sentences = [
            _said(chosen[0], dice).format(thing=chosen[1], detail=chosen[2]),
            *(_said(wish, dice) for wish in chosen[3:]),
        ]
        recipes[chosen] = (
            ". ".join(sentence[0].upper() + sentence[1:] for sentence in sentences) + ".",
            label,
        )
    examples = [_example(i + 1, text, label) for i, (text, label) in enumerate(recipes.values())]
    dice.shuffle(examples)
    return examples[:2_000], examples[2_000:]


def _banking77(folder: Path, repeats: int) -> Iterable[Row]:
    columns = {"prompt": "text", "completion": "category"}
    train, test = (
        read_dataset(folder / f"{side}.csv", columns).examples for side in ("train", "test")
    )
    leaks = find_contamination(train, test)
    for kind, count in leaks.count_by_kind().items():
        yield _row(
            f"banking77 as it is: share of the test examples that leak, {kind}", count / len(test)
        )
    alike = {leak.held_out_line for leak in leaks.examples}
    others = [example for example in test if example.line not in alike]

    def draw(dice: random.Random) -> tuple[list[Example], list[Example]]:
        return train, [
            _example(i + 1, e.question, e.answer) for i, e in enumerate(dice.sample(others, 1_000))
        ]

    yield from _measured("banking77", draw, repeats)


def _same(text: str, dice: random.Random) -> str:
    return text


def _other_case(text: str, dice: random.Random) -> str:
    return dice.choice((text.upper(), text.lower() + "  ", text.replace(" ", "  ").title()))


def _typo(text: str, dice: random.Random) -> str:
    words = text.split(" ")
    i = dice.choice([i for i, word in enumerate(words) if len(word) > 3] or [0])
    word, k = words[i], dice.randrange(max(1, len(words[i]) - 1))
    words[i] = dice.choice(
        (
            word[:k] + word[k + 1 :],
            word[:k] + word[k] + word[k:],
            word[:k] + word[k + 1 : k + 2] + word[k] + word[k + 2 :],
        )
    )
    return " ".join(words)


def _exchanged(text: str, dice: random.Random) -> str:
    words = text.split(" ")
    i = dice.randrange(max(1, len(words) - 1))
    words[i : i + 2] = reversed(words[i : i + 2])
    return " ".join(words)


def _other_punctuation(text: str, dice: random.Random) -> str:
    bare = "".join(character for character in text if character.isalnum() or character in " '-")
    return dice.choice((bare.lower(), bare + "!!", bare.replace("-", " ") + " ?", f'"{text}"'))


def _courtesy(text: str, dice: random.Random) -> str:
    return dice.choice((f"{dice.choice(BEFORE)} {text}", f"{text} {dice.choice(AFTER)}"))


def _replaced(text: str, dice: random.Random) -> str:
    words = text.split(" ")
    words[dice.randrange(len(words))] = dice.choice(OTHER_WORDS)
    return " ".join(words)


EDITS = {
    "a typo": _typo,
    "two words exchanged": _exchanged,
    "other case and punctuation": _other_punctuation,
    "a phrase of courtesy added": _courtesy,
    "a word replaced": _replaced,
}


def _row(name: str, value: float, low: float | None = None) -> Row:
    return {
        "name": name,
        "value": round(value, 4),
        "low_bar": low,
        "high_bar": None,
        "holds": low is None or value >= low,
    }


def _said(pattern: str, dice: random.Random) -> str:
    """One of the ways that a pattern such as `I [need|want] it` spells."""
    return re.sub(r"\[(.*?)\]", lambda ways: dice.choice(ways[1].split("|")), pattern)


def _example(line: int, question: str, answer: str) -> Example:
    return Example(line, (Message("user", question), Message("assistant", answer)))


if __name__ == "__main__":
    for row in rows(
        "--quick" in sys.argv,
        next((word for word in sys.argv[1:] if not word.startswith("-")), None),
    ):
        print(
            f"{row['value']:8.4f}  {row['low_bar'] or 0:.3f} {row['high_bar'] or 1:.3f} "
            f" {row['holds']}  {row['name']}"
        )
