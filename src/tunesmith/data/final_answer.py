"""Extract the final answer of a text, without the model's reasoning. Scorers see only that.

| how reasoning is written                                  | the final answer                    |
|-----------------------------------------------------------|-------------------------------------|
| `<think>...</think>`, also thinking, thought, reasoning,  | the text without the blocks         |
| reflection, scratchpad, `[THINK]...[/THINK]` and the      |                                     |
| others of `_TAG_PAIRS`                                    |                                     |
| `...</think>` where the chat template wrote the opening   | what follows the last closing tag   |
| `<think>...` that never closes: cut off by the limit      | what precedes it: usually nothing   |
| harmony: `<|channel|>analysis ... <|channel|>final`       | the final channel, or nothing       |
| harmony without special tokens: `analysis...assistantfinal` | what follows `assistantfinal`     |
| `<answer>...</answer>` at the end of what is left         | its content                         |

Tags in code (between backticks) are quoted and do not count. Expected answers are read in the same
way as predicted ones, so that a data set may teach reasoning and be scored by the result.
Source: the chat templates of the models that write them (DeepSeek-R1, Qwen3, Magistral, gpt-oss,
Kimi, Seed-OSS, Command A), and the harmony format (github.com/openai/harmony).
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence

_TAG_NAMES = (
    "think",
    "thinking",
    "thought",
    "thoughts",
    "reasoning",
    "reflection",
    "scratchpad",
    "seed:think",
)
_TAG_PAIRS: dict[str, str] = {
    **{f"<{name}>": f"</{name}>" for name in _TAG_NAMES},
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|start_thinking|>": "<|end_thinking|>",
    "<|channel>thought": "<channel|>",
}
"""Opening tag -> closing tag, in lower case."""
_CLOSINGS = frozenset(_TAG_PAIRS.values())
_TAG = re.compile(
    "|".join(re.escape(tag) for tag in [*_TAG_PAIRS, *_TAG_PAIRS.values()]), re.IGNORECASE
)
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_CHANNEL = re.compile(r"<\|channel\|>[ ]*(\w+)[^\n]{0,200}?<\|message\|>")
_HARMONY_END = re.compile(r"<\|(?:end|return|start|call|channel)\|>")
_BARE_HARMONY = re.compile(r"\A\s*analysis(?=[A-Z\s]).*assistantfinal", re.DOTALL)
_RESPONSE = re.compile(
    r"\A<\|START_RESPONSE\|>|<\|END_RESPONSE\|>\Z|\A<\|begin_of_solution\|>|<\|end_of_solution\|>\Z"
)
_ANSWER_OPEN, _ANSWER_CLOSE = "<answer>", "</answer>"


def extract_final_answer(text: str) -> str:
    """The text without its reasoning; empty where it is reasoning only."""
    return split_reasoning(text)[0]


def is_blank(text: str) -> bool:
    """Whether nothing is visible: empty, white space, or zero-width and control characters."""
    # Most texts begin with a letter or digit, which settles it without visiting every character.
    return not text[:1].isalnum() and all(
        one.isspace() or unicodedata.category(one) in ("Cf", "Cc") for one in text
    )


def has_reasoning(text: str) -> bool:
    """Whether the text contains reasoning, so that the final answer is only a part of it."""
    return split_reasoning(text)[1]


def split_reasoning(text: str) -> tuple[str, bool]:
    """(the final answer, whether reasoning was removed)."""
    # Nearly all texts have no tag: four substring tests are much cheaper than the regexes below.
    if (
        "<" not in text
        and "[" not in text
        and "◁" not in text
        and not text.lstrip().startswith("analysis")
    ):
        return text, False
    channels = list(_CHANNEL.finditer(text))
    if channels:
        return _extract_final_channel(text, channels), True
    bare = _BARE_HARMONY.match(text)
    if bare:
        return text[bare.end() :].strip(), True
    blocks = list(_find_reasoning_blocks(text))
    if not blocks:
        return _unwrap_answer_tag(text), False
    return _unwrap_answer_tag(_RESPONSE.sub("", _remove_blocks(text, blocks).strip()).strip()), True


def _unwrap_answer_tag(text: str) -> str:
    """The content of `<answer>...</answer>` at the end, or of an unclosed one at the start."""
    bare = text.strip()
    # More than one tag: it is not clear which is the answer, so the text stays as it is.
    if bare.lower().count(_ANSWER_OPEN) != 1 or (
        bare.startswith("<") and not bare.lower().startswith(_ANSWER_OPEN)
    ):
        return text
    before, inside = (
        bare[: bare.lower().index(_ANSWER_OPEN)],
        bare[bare.lower().index(_ANSWER_OPEN) + len(_ANSWER_OPEN) :],
    )
    if inside.lower().endswith(_ANSWER_CLOSE):
        return inside[: -len(_ANSWER_CLOSE)].strip()
    return text if before or _ANSWER_CLOSE in inside.lower() else inside.strip()


def explain_reasoning(answers: Sequence[str]) -> str:
    """A sentence on how many texts contain reasoning that is not scored; empty when none does."""
    number = sum(map(has_reasoning, answers))
    if not number:
        return ""
    return (
        f"{number:,} of {len(answers):,} answers contain reasoning: only the final answer is"
        " compared."
    )


def _extract_final_channel(text: str, channels: Sequence[re.Match[str]]) -> str:
    """The last message of the channel `final`, up to its end token; empty without that channel."""
    final = next((one for one in reversed(channels) if one[1] == "final"), None)
    if final is None:
        return ""
    end = _HARMONY_END.search(text, final.end())
    return text[final.end() : end.start() if end else len(text)].strip()


def _find_reasoning_blocks(text: str) -> Iterator[tuple[int, int]]:
    """(begin, end) of every block of reasoning.

    A closing tag without an opening one ends a block that begins with the text: the chat template
    wrote its opening tag, or it is the outer tag of nested blocks.
    """
    code = (
        [place for match in _CODE.finditer(text) for place in match.span()] if "`" in text else []
    )
    # `code` holds alternating begins and ends, so an odd insertion point lies inside code.
    begin, closing, behind = 0, "", 0
    for tag in _TAG.finditer(text):
        name = tag[0].lower()
        if closing == name:
            yield begin, tag.end()
            closing, behind = "", tag.end()
        elif closing or bisect_right(code, tag.start()) % 2:  # inside a block, or inside code
            continue
        elif name in _TAG_PAIRS:
            begin, closing = tag.start(), _TAG_PAIRS[name]
        else:
            yield 0, tag.end()
            behind = tag.end()
    if closing and not text[behind:begin].rpartition("\n")[2].strip():
        yield begin, len(text)  # never closed; in the middle of a line it is only mentioned


def _remove_blocks(text: str, blocks: Sequence[tuple[int, int]]) -> str:
    kept: list[str] = []
    behind = 0
    for begin, end in blocks:
        if begin < behind:  # a lone closing tag removes everything before it
            kept.clear()
        else:
            kept.append(text[behind:begin])
        behind = end
    kept.append(text[behind:])
    return "".join(kept)
