"""Chat templates written for these tests in the manner of families that people fine-tune, each with its peculiarities.

`writes` says what a template writes of a conversation; the rest it passes over without a word, as real ones do.
"""  # noqa: E501

from pathlib import Path
from typing import NamedTuple

from tunesmith.testing.tiny_model import CHATML, write_tiny_tokenizer

TURN = ("<|im_start|>", "<|im_end|>")


class Family(NamedTuple):
    """A template with its control tokens and named tokens.

    `marks`: it has `{% generation %}`. `is_text_key`: it puts a call's arguments together as text.
    """

    template: str
    control_tokens: tuple[str, ...] = TURN
    named_tokens: dict[str, str] = {"eos_token": "<|im_end|>"}  # noqa: RUF012  never changed
    writes: frozenset[str] = frozenset()
    marks: bool = False
    takes_text: bool = False

    def write(self, folder: Path) -> Path:
        return write_tiny_tokenizer(folder, self.template, self.control_tokens, **self.named_tokens)


ALL = frozenset(("tools", "calls", "text with calls", "results", "reasoning"))

LLAMA = """{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] | trim %}
  {%- set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}
{{- '<|start_header_id|>system<|end_header_id|>\n\n' }}
{%- if tools %}{{- 'Environment: ipython\n' }}
  {%- for t in tools %}{{- t | tojson(indent=4) + '\n\n' }}{% endfor %}{% endif %}
{{- system + '<|eot_id|>' }}
{%- for message in messages %}
  {%- if message.role == 'tool' %}
    {{- '<|start_header_id|>ipython<|end_header_id|>\n\n' }}
    {%- if message.content is mapping or message.content is iterable and message.content is not string %}
      {{- message.content | tojson }}{% else %}{{- message.content }}{% endif %}{{- '<|eot_id|>' }}
  {%- elif 'tool_calls' in message %}
    {%- if message.tool_calls | length != 1 %}
      {{- raise_exception('This model only supports single tool-calls at once!') }}{% endif %}
    {%- set call = message.tool_calls[0].function %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
    {{- '{"name": "' + call.name + '", "parameters": ' }}{{- call.arguments | tojson }}{{- '}<|eot_id|>' }}
  {%- else %}
    {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}
"""  # noqa: E501

MISTRAL = """{%- if messages[0].role == 'system' %}{% set system = messages[0].content + '\n\n' %}
  {%- set loop_messages = messages[1:] %}{% else %}{% set system = '' %}{% set loop_messages = messages %}{% endif %}
{{- bos_token }}
{%- for message in loop_messages %}
  {%- if message.role == 'user' %}
    {%- if tools and loop.first %}{{- '[AVAILABLE_TOOLS] ' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}{% endif %}
    {{- '[INST] ' + (system if loop.first else '') + message.content + '[/INST]' }}
  {%- elif message.tool_calls %}
    {%- if message.content %}{{- raise_exception('content beside tool calls') }}{% endif %}
    {{- '[TOOL_CALLS] [' }}
    {%- for call in message.tool_calls %}
      {%- if call.id is not defined or call.id | length != 9 %}
        {{- raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}{% endif %}
      {%- set out = call.function | tojson %}
      {{- out[:-1] + ', "id": "' + call.id + '"}' }}{{- ', ' if not loop.last else ']' + eos_token }}
    {%- endfor %}
  {%- elif message.role == 'tool' %}
    {{- '[TOOL_RESULTS] {"content": ' + message.content | string + ', "call_id": "' }}
    {{- message.tool_call_id | string + '"}[/TOOL_RESULTS]' }}
  {%- elif message.role == 'assistant' %}{{- ' ' + message.content + eos_token }}
  {%- else %}{{- raise_exception('Only user, assistant, tool roles are supported') }}{% endif %}
{%- endfor %}"""  # noqa: E501

GEMMA = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\n\n' %}
  {%- set loop_messages = messages[1:] %}{% else %}{% set first = '' %}{% set loop_messages = messages %}{% endif %}
{%- for message in loop_messages %}
{{- '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\n' }}
{{- (first if loop.first else '') + message['content'] | trim + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\n' }}{% endif %}"""  # noqa: E501

QWEN = """{%- if tools %}
{{- '<|im_start|>system\n' + (messages[0].content + '\n\n' if messages[0].role == 'system' else '') }}
{{- '# Tools\n<tools>' }}{% for tool in tools %}{{- '\n' + tool | tojson }}{% endfor %}{{- '\n</tools><|im_end|>\n' }}
{%- elif messages[0].role == 'system' %}{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{% endif %}
{%- for message in messages %}
  {%- if message.role == 'user' or message.role == 'system' and not loop.first %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
  {%- elif message.role == 'assistant' %}
    {{- '<|im_start|>assistant\n' }}{% generation %}{{- message.content }}
    {%- for call in message.tool_calls or [] %}
      {{- ('\n' if loop.first and message.content or not loop.first else '') + '<tool_call>\n{"name": "' }}
      {{- call.function.name + '", "arguments": ' + call.function.arguments | tojson + '}\n</tool_call>' }}
    {%- endfor %}{{- '<|im_end|>' }}{% endgeneration %}{{- '\n' }}
  {%- elif message.role == 'tool' %}
    {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{% endif %}
    {{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
    {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\n' }}{% endif %}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}"""  # noqa: E501

THINK = """{%- if tools %}{{- '<|im_start|>system\n# Tools\n' }}
{%- for tool in tools %}{{- tool | tojson + '\n' }}{% endfor %}{{- '<|im_end|>\n' }}{% endif %}
{%- set ns = namespace(last=0) %}
{%- for message in messages %}{% if message.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for message in messages %}
  {%- if message.role == 'assistant' %}
    {%- set content, thought = message.content, '' %}
    {%- if message.reasoning_content is string %}{% set thought = message.reasoning_content %}
    {%- elif '</think>' in content %}
      {%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\n') %}
      {%- set content = content.split('</think>')[-1].lstrip('\n') %}
    {%- endif %}
    {{- '<|im_start|>assistant\n' }}{% generation %}
    {%- if loop.index0 > ns.last and thought %}{{- '<think>\n' + thought.strip('\n') + '\n</think>\n\n' }}{% endif %}
    {{- content }}
    {%- for call in message.tool_calls %}
      {%- if call.function %}{% set call = call.function %}{% endif %}
      {{- '\n<tool_call>\n{"name": "' + call.name + '", "arguments": ' }}
      {%- if call.arguments is string %}{{- call.arguments }}{% else %}{{- call.arguments | tojson }}{% endif %}
      {{- '}\n</tool_call>' }}
    {%- endfor %}{{- '<|im_end|>' }}{% endgeneration %}{{- '\n' }}
  {%- elif message.role == 'tool' %}
    {{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
  {%- else %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}"""  # noqa: E501

DEEPSEEK = """{{- bos_token }}
{%- if tools %}{{- 'Tools: ' + tools | tojson + '\n' }}{% endif %}
{%- for message in messages %}
  {%- if message.role == 'system' %}{{- message.content }}
  {%- elif message.role == 'user' %}{{- '<|User|>' + message.content + '<|Assistant|>' }}
  {%- elif message.role == 'assistant' %}
    {%- set content = message.content.split('</think>')[-1] %}{{- content }}
    {%- for call in message.tool_calls or [] %}
      {{- '<|calls|>' + call.function.name + '\n```json\n' + call.function.arguments + '\n```' }}
    {%- endfor %}{{- '<|end|>' }}
  {%- elif message.role == 'tool' %}{{- '<|output|>' + message.content + '<|Assistant|>' }}{% endif %}
{%- endfor %}"""  # noqa: E501

XML = """{%- if tools %}{{- '<|im_start|>system\n<tools>' }}
{%- for tool in tools %}{{- '\n<function>\n<name>' + tool.function.name + '</name>' }}
{%- if tool.function.description is defined %}{{- '\n<description>' + tool.function.description + '</description>' }}
{%- endif %}{{- '\n</function>' }}{% endfor %}{{- '\n</tools><|im_end|>\n' }}{% endif %}
{%- for message in messages %}
  {{- '<|im_start|>' + message.role + '\n' }}
  {%- if message.thinking %}{{- '<think>' + message.thinking + '</think>\n' }}{% endif %}{{- message.content }}
  {%- for call in message.tool_calls or [] %}{{- '\n<tool_call>' + call.function.name }}
    {%- for key, value in call.function.arguments | items %}
      {{- '\n<arg_key>' + key + '</arg_key>\n<arg_value>' }}
      {{- value if value is string else value | tojson }}{{- '</arg_value>' }}
    {%- endfor %}{{- '\n</tool_call>' }}
  {%- endfor %}{{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}"""  # noqa: E501

FAMILIES: dict[str, Family] = {
    "chatml": Family(CHATML, writes=frozenset(("results", "text with calls"))),
    "llama": Family(
        LLAMA,
        ("<bos>", "<eos>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        {"bos_token": "<bos>", "eos_token": "<eos>"},
        ALL - {"reasoning", "text with calls"},
    ),
    "mistral": Family(
        MISTRAL,
        (
            "<s>",
            "</s>",
            "[INST]",
            "[/INST]",
            "[AVAILABLE_TOOLS]",
            "[/AVAILABLE_TOOLS]",
            "[TOOL_CALLS]",
        ),
        {"bos_token": "<s>", "eos_token": "</s>"},
        ALL - {"reasoning"},
    ),
    "gemma": Family(
        GEMMA,
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        {"bos_token": "<bos>", "eos_token": "<eos>"},
        frozenset(("results", "text with calls")),
    ),
    "qwen": Family(QWEN, writes=ALL - {"reasoning"}, marks=True),
    "think": Family(THINK, writes=ALL, marks=True),
    "deepseek": Family(
        DEEPSEEK,
        ("<bos>", "<|end|>", "<|User|>", "<|Assistant|>", "<|calls|>", "<|output|>"),
        {"bos_token": "<bos>", "eos_token": "<|end|>"},
        ALL - {"reasoning"},
        takes_text=True,
    ),
    "xml": Family(XML, writes=ALL),
}
