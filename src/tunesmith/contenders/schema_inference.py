"""A JSON schema inferred from values: the tightest of a few simple forms that admits all of them.

| part      | rule |
|-----------|----------------------------------------------------------------------------------------|
| types     | those that occur at this place; multiple types become `anyOf` |
| objects   | only the keys that occur; those that every object has are required |
| many keys | more than `MAX_KEYS` distinct keys are data, not names: any key, one schema for values |
| arrays    | one schema for all items; non-empty if all lists are |
| strings  | an `enum` if the values are few, short, and each occurs at least `MIN_USES_PER_VALUE`  |
|           | times; else any text |
| numbers   | `integer` if all are written as integers, else `number` |

The rule for `enum`: the probability that the next value is a new one is estimated from the values
that occurred once or twice (Good 1953, "The population frequencies of species",
doi:10.1093/biomet/40.3-4.237), so if all values occurred often it is small.

Constrained decoding writes keys in the schema's order. So objects whose key orders contradict each
other get separate schemas, joined by `anyOf`, one per order. If there are more than
`MAX_KEY_ORDERS`, the most common order also stands for the rest: the schema still admits every
value, some of them only with their keys in another order.
"""  # noqa: E501

from collections import Counter
from collections.abc import Sequence
from typing import Any

MAX_DEPTH = 16
MAX_SCHEMA_BYTES = 64 * 1024
MAX_KEYS = 200
MAX_KEY_ORDERS = 6
MAX_ENUM_VALUES = 64
MAX_ENUM_VALUE_CHARACTERS = 60
MIN_USES_PER_VALUE = 10

Schema = dict[str, Any]


def infer_schema(values: Sequence[Any]) -> Schema | None:
    """The schema of these values; None if one is nested deeper than `MAX_DEPTH`."""
    return (
        _infer_schema(values)
        if all(_is_within_depth(value, MAX_DEPTH) for value in values)
        else None
    )


def _is_within_depth(value: Any, levels: int) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_within_depth(part, levels - 1) for part in parts)


def _infer_schema(values: Sequence[Any]) -> Schema:
    kinds: list[Schema] = []
    if objects := [value for value in values if isinstance(value, dict)]:
        kinds += _infer_objects(objects)
    if lists := [value for value in values if isinstance(value, list)]:
        kinds.append(_infer_array(lists))
    if texts := [value for value in values if isinstance(value, str)]:
        kinds.append(_infer_string(texts))
    # In Python a bool is an int; in a JSON schema it is its own type.
    if numbers := [
        value for value in values if isinstance(value, int | float) and not isinstance(value, bool)
    ]:
        kinds.append(
            {"type": "integer" if all(isinstance(number, int) for number in numbers) else "number"}
        )
    kinds += [{"type": "boolean"}] if any(isinstance(value, bool) for value in values) else []
    kinds += [{"type": "null"}] if any(value is None for value in values) else []
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _infer_string(texts: Sequence[str]) -> Schema:
    counts = Counter(texts)
    is_often = min(counts.values()) >= MIN_USES_PER_VALUE
    is_closed = (
        is_often
        and len(counts) <= MAX_ENUM_VALUES
        and max(map(len, counts)) <= MAX_ENUM_VALUE_CHARACTERS
    )
    return {"type": "string", "enum": sorted(counts)} if is_closed else {"type": "string"}


def _infer_array(lists: Sequence[list[Any]]) -> Schema:
    items = [item for one in lists for item in one]
    if not items:
        return {"type": "array", "maxItems": 0}
    return {"type": "array", "items": _infer_schema(items)} | (
        {"minItems": 1} if all(lists) else {}
    )


def _infer_objects(objects: Sequence[dict[str, Any]]) -> list[Schema]:
    """One schema for each group of compatible key orders."""
    keys = dict.fromkeys(key for one in objects for key in one)
    if len(keys) > MAX_KEYS:
        return [
            {
                "type": "object",
                "additionalProperties": _infer_schema(
                    [part for one in objects for part in one.values()]
                ),
            }
        ]
    parts = {key: _infer_schema([one[key] for one in objects if key in one]) for key in keys}
    orders, is_complete = _find_key_orders([tuple(one) for one in objects])
    if not is_complete:
        # Some objects fit no stored order: the most common one takes the keys of all, so that the
        # schema still admits them; only keys that every object has stay required.
        order = [*orders[0][0], *(key for key in keys if key not in orders[0][0])]
        orders[0] = order, set(keys).intersection(*objects)
    return [
        {
            "type": "object",
            "properties": {key: parts[key] for key in order},
            "required": [key for key in order if key in required],
            "additionalProperties": False,
        }
        for order, required in orders
    ]


def _find_key_orders(
    written: Sequence[tuple[str, ...]],
) -> tuple[list[tuple[list[str], set[str]]], bool]:
    """(at most `MAX_KEY_ORDERS` pairs of key order and required keys, the most common order first;
    whether each object's keys fit one of these orders)."""
    orders: list[tuple[list[str], set[str]]] = []
    is_complete = True
    for keys, _ in Counter(written).most_common():
        for n, (order, required) in enumerate(orders):
            if (merged := _merge_key_order(order, keys)) is not None:
                orders[n] = merged, required & set(keys)
                break
        else:
            is_complete = is_complete and len(orders) < MAX_KEY_ORDERS
            if is_complete:
                orders.append((list(keys), set(keys)))
    return orders, is_complete


def _merge_key_order(order: list[str], keys: Sequence[str]) -> list[str] | None:
    """The order extended by `keys`, each new key directly after its predecessor; None if the two
    orders contradict each other."""
    places = {key: place for place, key in enumerate(order)}
    known = [places[key] for key in keys if key in places]
    if known != sorted(known):
        return None
    if len(known) == len(keys):
        return order
    merged, at = list(order), 0
    for key in keys:
        if key in places:
            at = merged.index(key) + 1
        else:
            merged.insert(at, key)
            at += 1
    return merged
