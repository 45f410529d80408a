"""Types and ranges of the generation settings that change an answer.

They are in generation_config.json, and in config.json of older models. A value of another type
would be ignored here and then obeyed, or end in a traceback, where the model is served: so it is
refused.
Source: `GenerationConfig` of transformers 5 (docs/source/en/main_classes/text_generation.md).
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tunesmith.errors import ModelError

MAX_ID = 2**32
"""Limit of token ids and counts: the tokenizers library stores ids in 32 bits."""


def _is_whole(value: Any, minimum: int = 0) -> bool:
    # `type(...) is int`: True is an int to isinstance, and no token id.
    return type(value) is int and minimum <= value < MAX_ID


def _is_number(value: Any, minimum: float, maximum: float = math.inf) -> bool:
    # `parse_settings` accepts Infinity, which is no value for any of these settings.
    return type(value) in (int, float) and minimum <= value <= maximum and value < math.inf


def _is_list(value: Any, is_one: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(is_one, value))


def _is_token_id(value: Any) -> bool:
    """Whether this is a token id; some models write -1 for "none"."""
    return _is_whole(value, -1)


def _is_token_id_list(value: Any) -> bool:
    return _is_list(value, _is_token_id)


def _is_token_id_lists(value: Any) -> bool:
    return _is_list(value, _is_token_id_list)


ValueRule = tuple[str, Callable[[Any], bool]]
_ONE_ID: ValueRule = ("a token id", _is_token_id)
_IDS: ValueRule = (
    "a token id or a list of them",
    lambda value: _is_token_id(value) or _is_token_id_list(value),
)
_ID_LIST: ValueRule = ("a list of token ids", _is_token_id_list)
_COUNT: ValueRule = ("an integer >= 0", _is_whole)
_AT_LEAST_1: ValueRule = ("an integer >= 1", lambda value: _is_whole(value, 1))
_FRACTION: ValueRule = ("a number from 0 to 1", lambda value: _is_number(value, 0, 1))
# The smallest positive float as the minimum turns "at least" into "above 0".
_POSITIVE: ValueRule = ("a number > 0", lambda value: _is_number(value, math.nextafter(0, 1)))
_ANY_NUMBER: ValueRule = (
    "a number",
    lambda value: _is_number(value, -math.inf) and value > -math.inf,
)
_SWITCH: ValueRule = ("true or false", lambda value: isinstance(value, bool))
_TEXTS: ValueRule = (
    "a string or a list of strings",
    lambda value: isinstance(value, str) or _is_list(value, lambda one: isinstance(one, str)),
)
TOKEN_RULES: dict[str, ValueRule] = {
    "eos_token_id": _IDS,
    "bos_token_id": _IDS,
    "pad_token_id": _IDS,
    "decoder_start_token_id": _IDS,
    "forced_bos_token_id": _ONE_ID,
    "forced_eos_token_id": _IDS,
}
GENERATION_RULES: dict[str, ValueRule] = {
    **TOKEN_RULES,
    "suppress_tokens": _ID_LIST,
    "begin_suppress_tokens": _ID_LIST,
    "bad_words_ids": ("a list of lists of token ids", _is_token_id_lists),
    "do_sample": _SWITCH,
    "temperature": ("a number >= 0", lambda value: _is_number(value, 0)),
    "top_k": ("an integer", lambda value: _is_whole(value, -1)),
    "top_p": _FRACTION,
    "min_p": _FRACTION,
    "typical_p": _FRACTION,
    "epsilon_cutoff": _FRACTION,
    "eta_cutoff": _FRACTION,
    "repetition_penalty": _POSITIVE,
    "encoder_repetition_penalty": _POSITIVE,
    "presence_penalty": _ANY_NUMBER,
    "frequency_penalty": _ANY_NUMBER,
    "length_penalty": _ANY_NUMBER,
    "guidance_scale": _ANY_NUMBER,
    "no_repeat_ngram_size": _COUNT,
    "num_beams": _AT_LEAST_1,
    "num_beam_groups": _AT_LEAST_1,
    "num_return_sequences": _AT_LEAST_1,
    "max_length": _COUNT,
    "max_new_tokens": _COUNT,
    "min_length": _COUNT,
    "min_new_tokens": _COUNT,
    "stop_strings": _TEXTS,
    "remove_invalid_values": _SWITCH,
    "renormalize_logits": _SWITCH,
}


def check_generation_settings(
    settings: Mapping[str, Any], path: Path, rules: Mapping[str, ValueRule] = GENERATION_RULES
) -> None:
    """Errors: `ModelError` for the first value outside its rule; null is always allowed."""
    for key, (expected, is_one) in rules.items():
        value = settings.get(key)
        if value is not None and not is_one(value):
            raise ModelError(
                "bad-generation-setting",
                "generation setting has an invalid value",
                at=str(path),
                got=f"{key}: {str(value)[:80]} (expected {expected})",
                hint="download the file again; or set the value that the model's authors document",
            )
