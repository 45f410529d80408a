"""Scripts without spaces between words: a whole sentence matches one `\\w+`, so words are counted
differently.

Chinese, Japanese, Thai, Lao, Burmese and Khmer (Korean uses spaces). Most of their words have one
to three characters, so two consecutive characters stand for a word.
"""

import re

UNSPACED_CHARACTERS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
)
"""Their characters, as ranges inside a regex character class."""
MAX_WORD_CHARACTERS = 40
"""Longer runs without a space (a key, an embedded image) count as multiple words."""
_RUN = re.compile(f"[{UNSPACED_CHARACTERS}]+")
_WORD = re.compile(
    rf"(?:[{UNSPACED_CHARACTERS}]{{1,2}}|[^\s{UNSPACED_CHARACTERS}]{{1,{MAX_WORD_CHARACTERS}}})\s*"
)


def list_character_pairs(text: str) -> list[str]:
    """Each pair of consecutive characters in runs of such a script; a run of one character yields
    that character."""
    runs = _RUN.findall(text)
    return [run[i : i + 2] for run in runs for i in range(max(1, len(run) - 1))]


def split_words(text: str) -> list[str]:
    """The words of a text, each followed by one space if white space follows it in the text;
    joined, they give the text with its white space normalized."""
    words = _WORD.findall(text.lstrip())
    return [f"{word.rstrip()} " if word[-1].isspace() else word for word in words]
