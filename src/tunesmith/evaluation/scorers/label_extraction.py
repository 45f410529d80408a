r"""Which label an answer states: verbose answers are understood, and no word is mistaken for one.

| searched, in this order                               | examples                                 |
|-------------------------------------------------------|------------------------------------------|
| the whole answer is the label                         | `card_arrival`, `**B**`, `(B)`, "B."     |
| JSON with the label as its only value, or under a key | {"label": "spam", "sure": 0.9}           |
| a conclusion                                          | "The answer is B.", "Answer: B",         |
|                                                       | "#### B", \boxed{B}, <label>B</label>,   |
|                                                       | "Option B is correct", "정답은 B입니다"  |
| a position where answers stand: the first or last     | "Yes, it is.", "B. A cow",               |
| line or its beginning, the last sentence, the end of  | "... It is about a card.\ncard_arrival", |
| a sentence after "is", ":", "=", "classified as"      | "I classify this as spam.", "It is: ham" |

The first row that finds a label decides. If its positions name different labels the answer states
none, however often it states one of them. A position with a negation earlier in its sentence ("I do
not think it is spam") does not count, nor does a label followed by one ("ham, not really"), nor a
label that is merely mentioned: other words of the answer, labels among them, change nothing. Of
labels that contain each other the longest match is the stated one. Words that introduce or negate
are English, with a few of other languages; the rest works in any language.
"""

import json
import re
from collections.abc import Iterator, Sequence

from tunesmith.data.label_detection import LIST_SEPARATOR, LabelSet

_QUOTES = "\"'`*_“”„«»‘’「」『』【】"
_LATEX = r"(?:\\(?:text|textbf|mathrm|mathbf|boxed)\{\s?){0,2}"
_OPEN = rf"[\s{_QUOTES}(\[{{<$]{{0,12}}{_LATEX}"
_CLOSE = rf"[{_QUOTES})\]}}>$]{{1,12}}"
_BECAUSE = r"\s(?i:because|since|as|so|weil|car|porque)\b"
_MARK = rf"(?:[.,;:!?。、，；：！？](?=[\s{_QUOTES})\]]|$)|\s-\s|\s?[\u2013\u2014]|\s\(|{_BECAUSE})"
_TRAILING_VERB = r"(?:입니다|이다|이에요|예요|です|である|だ|になります)(?!\w)"
"""The verb at the end of a sentence, after the answer (Korean, Japanese)."""
_END = rf"(?:{_CLOSE}(?:{_MARK}|(?=[\s.,;:!?]|$))|\s*$|{_MARK}|(?=\s?</)|{_TRAILING_VERB})"
_RATING_SUFFIX = r"\s?(?:/\s?\d{1,3}(?![\d/])|out of \d{1,3}(?!\d)|(?:stars?|points?)(?!\w))"
"""What may follow a label that is a number on a scale: 4/5, 4 out of 5, 4 stars."""
_TRAILING_NEGATION = r"(?<![.。!?])\W{0,12}(?i:not|no|never|false|nicht|pas)\b"
_NOUN = (
    r"(?:answer|label|choice|option|category|class|classification|intent|prediction|verdict|sentiment|result|"
    r"conclusion|rating|score|antwort|réponse|respuesta|risposta|resposta|ответ|答案|정답|답|답변|答え|正解|解答|回答)"
)
_IS = r"(?:\b(?:is|are|was|be|ist|est|es|è|é)\b|[:=：]|是|为|[은는](?=[\s\w])|は)"
_FILLER = r"(?:(?:option|choice|letter|label|category|class|clearly|definitely)\s)?"
_CONCLUSIONS = (
    rf"(?i:(?<!\w){_NOUN}(?![^\W가-힣は])[^\n.!?:=：]{{0,40}}?{_IS}{_OPEN}{_FILLER}){_OPEN}",
    rf"(?i:<{_NOUN}>\s{{0,12}})",
    r"####\s*" + _OPEN,
    r"\\boxed\{\s*(?:\\(?:text|textbf|mathrm|mathbf)\{)?" + _OPEN,
)
_LEADS = (
    rf"(?i:{_IS}|→|->|=>){_OPEN}",
    rf"(?i:(?<!\w)(?:classif|categor|label|tag|mark|identif)\w*\s[^\n.!?]{{0,40}}?\bas{_OPEN}{_FILLER}){_OPEN}",
    rf"(?i:(?<!\w)(?:choose|pick|select|say|go with)\s{_OPEN}{_FILLER}){_OPEN}",
    rf"(?i:(?<!\w)(?:category|class|label|option|choice)\s){_OPEN}",
)
_CORRECT = (
    r"(?i:\s+(?:is|would"
    r" be|seems)\s+(?:the\s+)?(?:most\s+|only\s+)?(?:correct|right|best|answer))(?!\w)"
)
# `n't` ends a word ("isn't"), so it cannot require a word boundary in front of it.
_NEGATION = re.compile(
    r"(?<!\w)(?:not|nor|never|neither|cannot|without|nicht|kein\w*)(?!\w)|n['\u2019]t(?!\w)",
    re.IGNORECASE,
)
_CLAUSES = (
    ". ",
    "! ",
    "? ",
    "\n",
    "; ",
    ", so ",
    ", but ",
    " but ",
    ", it ",
    ", instead ",
    ", rather ",
    ", therefore ",
    ", thus ",
    ", hence ",
)
"""What ends the words to which a negation applies."""
_BULLET = re.compile(r"^(?:[#>•]+\s*|[-*]\s+)+")
_KEYS = (
    "label",
    "answer",
    "final_answer",
    "class",
    "category",
    "intent",
    "prediction",
    "choice",
    "sentiment",
    "verdict",
    "result",
    "output",
)
_TRAILING_LETTER = rf"(?!{_TRAILING_VERB})\w"
_NEGATED_LABEL = ""
"""Yielded in addition to a label that is retracted, so that there are two candidates."""
MAX_LIST_PARTS = 50
"""Maximum number of labels in an answer that is a list."""
MAX_SENTENCE_CHARACTERS = 300
"""Number of characters before a label that are searched for a negation."""
MAX_ANSWER_CHARACTERS = 100_000
"""Number of characters of an answer that are searched: half from its start, half from its end."""


class LabelExtractor:
    """Finds the label that an answer states; `extract` returns its normalized form."""

    def __init__(self, labels: LabelSet) -> None:
        self._labels = labels
        self._keys = {labels.normalize_label(label) for label in labels.labels}
        parts = (
            {part for label in labels.labels for part in labels.split_parts(label)}
            if labels.is_multi_label
            else self._keys
        )
        # A regex alternation takes the first match, so longer labels must come first.
        longest_first = sorted(
            (part for part in parts if part), key=lambda part: (-len(part), part)
        )
        one = "|".join(map(re.escape, longest_first)) or r"(?!)"  # `(?!)` never matches
        if labels.is_multi_label:
            one = rf"(?:{one})(?:(?:{LIST_SEPARATOR.pattern})(?:{one})(?!\w)){{0,{MAX_LIST_PARTS}}}"
        mention = rf"(?P<label>{one})(?!{_TRAILING_LETTER})"
        is_scale = bool(longest_first) and all(key.isdigit() for key in longest_first)
        # On a scale of integers "4.0" means 4.
        self._zeros = re.compile(r"(?<![\d.,])(\d+)\.0{1,2}(?![\d.,])") if is_scale else None
        end = rf"(?:{_RATING_SUFFIX})?{_END}" if is_scale else _END
        self._negated = re.compile(rf"{_TRAILING_NEGATION}(?!\s{_OPEN}(?:{one})(?!\w))")
        self._conclusions = [
            re.compile(rf"{lead}{mention}{end}", re.MULTILINE) for lead in _CONCLUSIONS
        ]
        self._conclusions.append(
            re.compile(
                rf"(?:^|[.!?]\s|(?i:\b(?:option|choice|answer|letter|label)\s)){_OPEN}{mention}(?:{_CLOSE})?{_CORRECT}",
                re.MULTILINE,
            )
        )
        self._leads = [re.compile(rf"{lead}{mention}{end}", re.MULTILINE) for lead in _LEADS]
        self._begins = re.compile(rf"{_OPEN}{mention}{end}")
        self._last_sentence = re.compile(rf"[.!?]\s+{_OPEN}{mention}(?:{_CLOSE})?[.!]?\s*\Z")

    def extract(self, answer: str) -> str | None:
        """The normalized label that the answer states; None if it states none or more than one."""
        if self._zeros is not None:
            answer = self._zeros.sub(r"\1", answer)
        key = self._labels.normalize_label(answer)
        if key in self._keys:
            return key
        if len(answer) > MAX_ANSWER_CHARACTERS:
            answer = (
                answer[: MAX_ANSWER_CHARACTERS // 2] + "\n" + answer[-MAX_ANSWER_CHARACTERS // 2 :]
            )
        lines = [self._labels.folding.fold_inside(line) for line in answer.splitlines()]
        text = "\n".join(line for line in lines if line)
        values = _read_json_values(answer)
        if values is not None:
            in_json = {self._labels.normalize_label(value) for value in values} & self._keys
            # A JSON answer is not searched as text: its keys may be labels, too.
            return in_json.pop() if len(in_json) == 1 else None
        for labels in (self._find_in_conclusions(text), self._find_in_positions(text)):
            mentioned = {
                self._labels.normalize_label(one) if one != _NEGATED_LABEL else one
                for one in labels
            }
            if mentioned:
                return next(iter(mentioned & self._keys), None) if len(mentioned) == 1 else None
        return None

    def _find_in_conclusions(self, text: str) -> Iterator[str]:
        for pattern in self._conclusions:
            yield from self._find_labels(pattern, text)

    def _find_in_positions(self, text: str) -> Iterator[str]:
        first, _, _ = text.partition("\n")
        last = text.rpartition("\n")[2]
        for line in dict.fromkeys((first, last)):
            bare = _BULLET.sub("", line)
            if (key := self._labels.normalize_label(bare)) in self._keys:
                yield key
            elif begins := self._begins.match(bare):
                yield from self._yield_with_next(begins, bare)
                if self._negated.match(bare, begins.end()):
                    yield _NEGATED_LABEL
        if (match := self._last_sentence.search(last)) is not None:
            yield match["label"]
        for pattern in self._leads:
            yield from self._find_labels(pattern, text)

    def _find_labels(self, pattern: re.Pattern[str], text: str) -> Iterator[str]:
        for match in pattern.finditer(text):
            # Negations before the label ("not spam") and after it ("spam, not really").
            if not _is_negated(text, match.start("label")) and not self._negated.match(
                text, match.end()
            ):
                yield from self._yield_with_next(match, text)

    def _yield_with_next(self, match: re.Match[str], text: str) -> Iterator[str]:
        """The label, and another one directly after its punctuation mark: a list of labels is no
        decision."""
        yield match["label"]
        rest = re.split(
            r"[.,;:!?\n]", text[match.end() : match.end() + MAX_SENTENCE_CHARACTERS], maxsplit=1
        )[0]
        key = self._labels.normalize_label(rest)
        if rest.strip() and key in self._keys:
            yield key


def _is_negated(text: str, position: int) -> bool:
    begin = max(0, position - MAX_SENTENCE_CHARACTERS)
    sentence = max(text.rfind(mark, begin, position) for mark in _CLAUSES)
    return _NEGATION.search(text, max(begin, sentence + 1), position) is not None


def _read_json_values(answer: str) -> Sequence[str] | None:
    """The texts in a JSON answer: its only value, or those under the keys that usually hold a
    label; None if the answer is not JSON."""
    stripped = (
        answer.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    )
    if stripped[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(stripped)
    except (ValueError, RecursionError):
        return None
    parts = value if isinstance(value, list) else list(value.values())
    if isinstance(value, dict) and len(value) > 1:
        parts = [part for name, part in value.items() if str(name).lower() in _KEYS]
    elif len(parts) != 1:
        return ()
    parts = [part[0] if isinstance(part, list) and len(part) == 1 else part for part in parts]
    return [
        part if isinstance(part, str) else json.dumps(part)
        for part in parts
        if not isinstance(part, list | dict)
    ]
