"""Our loss mask against transformers' `apply_chat_template(return_assistant_tokens_mask=True)`.

The template marks the answers with `{% generation %}`; we find them by rendering prefixes and never
read the markers. The masks are equal token by token but for one known difference: our tokens end
with the last end-of-turn token, while transformers keeps the line end that the template writes
behind it (unmarked, so untrained in both).
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from collections.abc import Sequence
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tunesmith.data.prepare import prepare_split, prove_mask
from tunesmith.records import Example, Message, TokenizedText

TEMPLATE = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{ message['content'] + '<|im_end|>' }}{%- endgeneration -%}{{ '\n' }}"
    "{%- else -%}{{ message['content'] + '<|im_end|>\n' }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
TEXTS = [
    "Where is my card?",
    "card_arrival",
    "two\n\nlines  and spaces",
    "Grüße 🙂 an alle",
    "1234 + 1 = 1235",
    "ok",
]


@pytest.fixture(scope="module")
def reference() -> PreTrainedTokenizerFast:
    """A byte-level BPE of 400 tokens, trained here."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator([*TEXTS, "<user>\nassistant\nsystem\n"] * 4, trainer)
    core.add_special_tokens(
        [AddedToken("<|im_start|>", special=True), AddedToken("<|im_end|>", special=True)]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


class Ours:
    """The same tokenizer and template as a `ChatTokenizer`."""

    control_tokens = ("<|im_start|>", "<|im_end|>")
    end_of_turn = "<|im_end|>"
    bos_id = pad_id = None
    ids_without_embedding: frozenset[int] = frozenset()
    tokenizer_sha256 = template_sha256 = "0" * 64

    def __init__(self, reference: PreTrainedTokenizerFast) -> None:
        self._reference = reference
        self.end_of_turn_id = reference.convert_tokens_to_ids(self.end_of_turn)

    def render(
        self, messages: Sequence[Message], tools: Sequence[Any] = (), *, open_answer: bool = False
    ) -> str:
        chat = [message.as_dict() for message in messages]
        return self._reference.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=open_answer
        )

    def render_ahead(self, wanted: Sequence[Any]) -> None:
        """Nothing: `render` is asked when it is needed."""

    def copies_contents(self, messages: Sequence[Message]) -> bool:
        return False

    def encode(self, texts: Sequence[str], content: Any = None) -> list[TokenizedText]:
        encodings = self._reference.backend_tokenizer.encode_batch(
            list(texts), add_special_tokens=False
        )
        return [TokenizedText(encoding.ids, encoding.offsets) for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        return self._reference.decode(list(ids), skip_special_tokens=True)


CHATS = [
    [("user", "Where is my card?"), ("assistant", "card_arrival")],
    [("system", "ok"), ("user", "Grüße 🙂 an alle"), ("assistant", "two\n\nlines  and spaces")],
    [("user", "1234 + 1 = ?"), ("assistant", "1235"), ("user", "ok"), ("assistant", "Grüße 🙂")],
    [
        ("user", "a"),
        ("assistant", " begins with a space"),
        ("user", "b\n"),
        ("assistant", "ends with lines\n\n"),
    ],
    [
        ("user", "x"),
        ("assistant", "🙂"),
        ("user", "y"),
        ("assistant", "é"),
        ("user", "z"),
        ("assistant", "q"),
    ],
]


@pytest.mark.parametrize("turns", CHATS)
def test_mask_equals_transformers_but_for_the_line_end_after_the_last_turn(
    reference: PreTrainedTokenizerFast, turns: list[tuple[str, str]]
) -> None:
    theirs = reference.apply_chat_template(
        [{"role": role, "content": text} for role, text in turns],
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ours = Ours(reference)
    example = Example(1, tuple(Message(role, text) for role, text in turns))  # type: ignore[arg-type]
    _, arrays = prepare_split("train", [example], ours, 1000)
    kept = len(arrays.tokens_N)
    assert arrays.tokens_N.tolist() == theirs["input_ids"][:kept]
    assert arrays.weights_N.tolist() == theirs["assistant_masks"][:kept]
    assert reference.decode(theirs["input_ids"][kept:]) == "\n"
    assert sum(theirs["assistant_masks"][kept:]) == 0
    assert prove_mask(arrays, ours, [example]).is_end_of_turn_trained
