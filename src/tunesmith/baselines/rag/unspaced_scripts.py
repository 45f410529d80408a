"""Scripts that put no spaces between words: a sentence of theirs is one `\\w+`, so their words are counted otherwise.

Chinese, Japanese, Thai, Lao, Burmese and Khmer (Korean puts spaces). Most of their words have one to three characters,
so two characters in a row stand for a word.
"""

import re

UNSPACED_CHARACTERS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Their characters, as the inside of a character class."""
MAX_WORD_CHARACTERS = 40
"""Characters of a word with nothing between: what is longer (a key, an image in text) counts as several."""
_RUN = re.compile(f"[{UNSPACED_CHARACTERS}]+")
_WORD = re.compile(rf"(?:[{UNSPACED_CHARACTERS}]{{1,2}}|[^\s{UNSPACED_CHARACTERS}]{{1,{MAX_WORD_CHARACTERS}}})\s*")


def list_character_pairs(text: str) -> list[str]:
    """Every two characters in a row of each run of such a script; of a run of one character that one."""
    runs = _RUN.findall(text)
    return [run[i : i + 2] for run in runs for i in range(max(1, len(run) - 1))]


def split_words(text: str) -> list[str]:
    """The words of a text, each with one space behind it where there is white space; joined they are the text."""
    found = _WORD.findall(text.lstrip())
    return [f"{word.rstrip()} " if word[-1].isspace() else word for word in found]
