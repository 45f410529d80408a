"""Constrained answers from a service: `response_format` with a JSON schema.

Labels are requested as an object with one field, because services accept only objects; the label is
extracted afterwards. `strict` makes a service enforce the schema; it is set if the schema follows
OpenAI's rules for it: every object lists all its properties as required and allows no others.

Source: https://platform.openai.com/docs/guides/structured-outputs.
"""

import json
from typing import Any

from tunesmith.providers.http_client import RequestFailed
from tunesmith.records import OutputConstraint

ANSWER_FIELD = "answer"


def build_response_format(output_constraint: OutputConstraint | None) -> dict[str, Any]:
    """The request parameters for this constraint; empty if there is none."""
    if output_constraint is None or not (output_constraint.labels or output_constraint.json_schema):
        return {}
    schema = output_constraint.json_schema or {
        "type": "object",
        "properties": {ANSWER_FIELD: {"type": "string", "enum": list(output_constraint.labels)}},
        "required": [ANSWER_FIELD],
        "additionalProperties": False,
    }
    is_strict = schema.get("type") == "object" and _follows_strict_rules(schema)
    asked = {"name": ANSWER_FIELD, "schema": schema, "strict": is_strict}
    return {"response_format": {"type": "json_schema", "json_schema": asked}}


def extract_label(text: str, output_constraint: OutputConstraint | None) -> str:
    """The label inside its JSON object; any other text unchanged."""
    if output_constraint is None or not output_constraint.labels:
        return text
    try:
        label = json.loads(text)[ANSWER_FIELD]
    # A service that ignores the format answers with the bare label: that is fine as it is.
    except (ValueError, LookupError, TypeError, RecursionError):
        return text
    return label if isinstance(label, str) else text


def is_format_rejected(output_constraint: OutputConstraint | None, refused: RequestFailed) -> bool:
    """Whether the service's error is about the requested format (and not about the prompt)."""
    said = json.dumps(dict(refused.service_error), default=str).lower()
    return bool(build_response_format(output_constraint)) and any(
        word in said for word in ("response_format", "json_schema", "schema")
    )


def _follows_strict_rules(schema: Any) -> bool:
    if isinstance(schema, list):
        return all(_follows_strict_rules(part) for part in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        is_closed = schema.get("additionalProperties") is False
        if not is_closed or set(schema.get("required", ())) != set(properties):
            return False
        return all(_follows_strict_rules(part) for part in properties.values())
    return all(_follows_strict_rules(part) for part in schema.values())
