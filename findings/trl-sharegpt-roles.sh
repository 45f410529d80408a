#!/usr/bin/env bash
# Version: trl 1.16.0.
# Expected: conversations in ShareGPT's form (`from`: "human" and "gpt", `value`) are turned into
# roles "user" and "assistant", as the trainer for supervised fine-tuning takes that form and
# converts it with `maybe_convert_to_chatml`.
# Seen: the keys are renamed, the names of the roles are left: "human" and "gpt". A template that
# writes users and assistants, and skips what it does not know, writes nothing at all; others
# write headers that the model never saw.
# Why it matters: most public data in this form says human and gpt. Training runs on empty texts
# or on foreign roles without an error, and the answers at use come under "assistant", which was
# not trained.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile trl==1.16.0 torch==2.13.0 transformers==5.23.0
export HF_HUB_OFFLINE=1 HF_HOME="$folder/hf"
venv/bin/python -W ignore - <<'PYTHON'
import sys

from transformers.utils.chat_template_utils import render_jinja_template
from trl import maybe_convert_to_chatml

TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'user' %}Q: {{ m.content }} "
    "{% elif m.role == 'assistant' %}A: {{ m.content }}{% endif %}{% endfor %}"
)
row = {"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]}
messages = maybe_convert_to_chatml(row)["messages"]
[text], _ = render_jinja_template([messages], chat_template=TEMPLATE)
print("messages:", messages)
print("text:", repr(text))
if [message["role"] for message in messages] != ["human", "gpt"] or text != "":
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
