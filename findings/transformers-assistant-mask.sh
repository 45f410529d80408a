#!/usr/bin/env bash
# Version: transformers 5.23.0 with tokenizers 0.23.3.
# Expected: `return_assistant_tokens_mask=True` marks what the assistant said: the parts that the
# template has between `generation` and `endgeneration`.
# Seen: where such a part ends in a space and the tokenizer splits at spaces, no token holds its
# last character; then all that follows is marked, later questions of the user included. Without
# that space the mask is right.
# Why it matters: training on the assistant's words only uses this mask. The model is trained to
# write the user's turns; nothing is raised, and the loss still falls.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile transformers==5.23.0 tokenizers==0.23.3 jinja2==3.1.6
export HF_HUB_OFFLINE=1 HF_HOME="$folder/hf"
venv/bin/python -W ignore - <<'PYTHON'
import sys

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

WORDS = ["user:", "assistant:", "hi", "yes", "why", "so"]
base = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="hi"))
base.pre_tokenizer = WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=base)
CHAT = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "yes"},
    {"role": "user", "content": "why"},
    {"role": "assistant", "content": "so"},
]
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}INSIDE{% endgeneration %}OUTSIDE"
    "{% else %}{{ m.content }} {% endif %}{% endfor %}"
)


def marked(inside: str, outside: str) -> list[str]:
    encoded = tokenizer.apply_chat_template(
        CHAT,
        chat_template=TEMPLATE.replace("INSIDE", inside).replace("OUTSIDE", outside),
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    words = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    return [word for word, mask in zip(words, encoded["assistant_masks"], strict=True) if mask]


right, wrong = marked("", " "), marked(" ", "")
print("the space is outside of the part:", right)
print("the part ends in the space:      ", wrong)
if right != ["yes", "so"] or wrong != ["yes", "user:", "why", "assistant:", "so"]:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
