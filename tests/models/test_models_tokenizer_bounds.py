"""A stranger's tokenizer: what it may make of a text is bounded before it is used."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from tunesmith.errors import ModelError
from tunesmith.models.tokenizer_bounds import check_bounds, has_nested_repetition

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+"
)
DEEPSEEK = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|\s*[\r\n]+|\s+"  # noqa: E501


def tokenizer() -> Tokenizer:
    return Tokenizer(models.BPE(byte_fallback=True))


def doubled(core: Tokenizer) -> None:
    core.normalizer = normalizers.Sequence([normalizers.Replace("a", "aa")] * 12)


def inserted(core: Tokenizer) -> None:
    core.normalizer = normalizers.Replace(Regex("x?"), "y" * 2_000)


def prefixed(core: Tokenizer) -> None:
    core.normalizer = normalizers.Prepend("x" * 100)


def as_bytes_again(core: Tokenizer) -> None:
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.ByteLevel()] * 6)


def repeated(core: Tokenizer) -> None:
    core.pre_tokenizer = pre_tokenizers.Split(Regex("(?:b+)+c"), "isolated")


def decoded(core: Tokenizer) -> None:
    core.decoder = decoders.Sequence([decoders.Replace("a", "aaaa")] * 6)


def random(core: Tokenizer) -> None:
    core.model = models.BPE(dropout=0.1)


def unbounded_words(core: Tokenizer) -> None:
    core.model = models.WordPiece({"a": 0, "[UNK]": 1}, max_input_chars_per_word=10**6)


REFUSED = {
    doubled: "one character to 4,096",
    inserted: "one character to 2,001",
    prefixed: "prepends 100 characters",
    as_bytes_again: "one character to 4,096",
    repeated: "nested repetition",
    decoded: "one character to 4,096",
    random: "at random",
    unbounded_words: "words of unlimited length",
}


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.__name__)
def test_a_tokenizer_without_a_small_bound_is_refused(change: Callable[[Tokenizer], None]) -> None:
    core = tokenizer()
    change(core)
    with pytest.raises(ModelError) as caught:
        check_bounds(core, Path("tokenizer.json"))
    assert caught.value.code == "model/unbounded-tokenizer" and REFUSED[change] in caught.value.got


def test_the_parts_of_sound_tokenizers_pass() -> None:
    core = tokenizer()
    core.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁"), normalizers.NFKC()]
    )
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(one), "isolated") for one in (GPT2, LLAMA3, DEEPSEEK)),
            pre_tokenizers.ByteLevel(),
        ]
    )
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    core.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    check_bounds(core, Path("tokenizer.json"))


@pytest.mark.parametrize(
    "pattern", [r"(a+)+", r"(?:a*b)*", r"((a+)b?)+", r"(a{2,})+", r"(x(a|b+))*y", r"([a-z]+)*"]
)
def test_a_repeated_repetition_is_seen(pattern: str) -> None:
    assert has_nested_repetition(pattern)


@pytest.mark.parametrize(
    "pattern",
    [GPT2, LLAMA3, DEEPSEEK, r"(a+)?b", r"(?:a|b)+", r"[(+]+[)*]+", r"(\+)+", r"(a{1,3})+"],
)
def test_a_plain_repetition_is_not(pattern: str) -> None:
    assert not has_nested_repetition(pattern)
