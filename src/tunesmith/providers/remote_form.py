"""Forms of answers for a service: as `response_format` with a JSON schema.

Labels are asked for as an object with one field, because services take only objects; the label is taken out again.
`strict` is what makes a service enforce the schema; it is set where the schema keeps the rules that OpenAI has for it:
an object with all properties required and no others, everywhere.

Source: https://platform.openai.com/docs/guides/structured-outputs.
"""

import json
from typing import Any

from tunesmith.providers.chat_completions import Refused
from tunesmith.records import AnswerForm

FIELD = "answer"


def response_format(form: AnswerForm | None) -> dict[str, Any]:
    """The part of the request that asks for a form; empty where there is none."""
    if form is None or not (form.labels or form.json_schema):
        return {}
    schema = form.json_schema or {
        "type": "object",
        "properties": {FIELD: {"type": "string", "enum": list(form.labels)}},
        "required": [FIELD],
        "additionalProperties": False,
    }
    is_strict = schema.get("type") == "object" and _keeps_strict_rules(schema)
    asked = {"name": FIELD, "schema": schema, "strict": is_strict}
    return {"response_format": {"type": "json_schema", "json_schema": asked}}


def unwrapped(text: str, form: AnswerForm | None) -> str:
    """The label inside its object; any other text as it is."""
    if form is None or not form.labels:
        return text
    try:
        label = json.loads(text)[FIELD]
    except (ValueError, LookupError, TypeError, RecursionError):
        return text
    return label if isinstance(label, str) else text


def form_refused(form: AnswerForm | None, refused: Refused) -> bool:
    """Whether a service refused a request because of its form."""
    said = json.dumps(dict(refused.said), default=str).lower()
    return bool(response_format(form)) and any(word in said for word in ("response_format", "json_schema", "schema"))


def _keeps_strict_rules(schema: Any) -> bool:
    if isinstance(schema, list):
        return all(_keeps_strict_rules(part) for part in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        is_closed = schema.get("additionalProperties") is False
        if not is_closed or set(schema.get("required", ())) != set(properties):
            return False
        return all(_keeps_strict_rules(part) for part in properties.values())
    return all(_keeps_strict_rules(part) for part in schema.values())
