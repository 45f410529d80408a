#!/usr/bin/env bash
# Version: jinja2 3.1.6 and transformers 5.23.0.
# Expected: a chat template that writes tools with `tojson` gives the same prompt in jinja2 and in
# transformers.
# Seen: jinja2 sorts the keys and writes <, >, & and ' as escapes; transformers replaces the
# filter and does neither.
# Why it matters: a server or script that renders the template with plain jinja2 shows the model
# other text than it was trained on, with parameters of functions in another order, and only when
# tools are used.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile transformers==5.23.0 jinja2==3.1.6
export HF_HUB_OFFLINE=1 HF_HOME="$folder/hf"
venv/bin/python -W ignore - <<'PYTHON'
import sys

import jinja2
from transformers.utils.chat_template_utils import render_jinja_template

TEMPLATE = "{% for tool in tools %}{{ tool | tojson }}{% endfor %}"
TOOLS = [{"name": "ship", "description": "a & b", "arguments": {"to": "city", "by": "day"}}]

plain = jinja2.Template(TEMPLATE).render(tools=TOOLS)
[rendered], _ = render_jinja_template([[]], tools=TOOLS, chat_template=TEMPLATE)
print("jinja2:      ", plain)
print("transformers:", rendered)
escaped = '{"arguments": {"by": "day", "to": "city"}, "description": "a \\u0026 b", "name": "ship"}'
as_given = '{"name": "ship", "description": "a & b", "arguments": {"to": "city", "by": "day"}}'
if (plain, rendered) != (escaped, as_given):
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
