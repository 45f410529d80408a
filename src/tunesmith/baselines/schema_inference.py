"""A JSON schema from values: the smallest of simple ones that takes every value it was made from.

| part      | what is said of it                                                                                  |
|-----------|-----------------------------------------------------------------------------------------------------|
| types     | those seen at this place; several of them are told apart by `anyOf`                                 |
| objects   | the keys seen, and nothing else; those that every object has are required                           |
| many keys | more than `MAX_KEYS` different ones are data, not names: any key, one schema for all their values  |
| arrays    | one schema for all items; never empty where none was                                                |
| strings   | an `enum` where the values are few, short, and each was seen `MIN_USES_PER_VALUE` times; else any text |
| numbers   | `integer` where all were written so, else `number`                                                  |

The rule for `enum`: how likely the next value is a new one is told by the values that were seen once or twice (Good
1953, "The population frequencies of species", doi:10.1093/biomet/40.3-4.237), so where all were seen often it is small.

Constrained decoding writes keys in the schema's order. So objects whose keys stand in orders that contradict each other
are described apart, by `anyOf`, each order for itself. Where there are more than `MAX_KEY_ORDERS`, the commonest ones
stand for the others too: the schema still takes every value, some of them only written in another order.
"""

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
    """The schema of these values; None when one is nested deeper than `DEEPEST`."""
    return _infer_schema(values) if all(_is_within_depth(value, MAX_DEPTH) for value in values) else None


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
    if numbers := [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]:
        kinds.append({"type": "integer" if all(isinstance(number, int) for number in numbers) else "number"})
    kinds += [{"type": "boolean"}] if any(isinstance(value, bool) for value in values) else []
    kinds += [{"type": "null"}] if any(value is None for value in values) else []
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _infer_string(texts: Sequence[str]) -> Schema:
    counts = Counter(texts)
    is_often = min(counts.values()) >= MIN_USES_PER_VALUE
    is_closed = is_often and len(counts) <= MAX_ENUM_VALUES and max(map(len, counts)) <= MAX_ENUM_VALUE_CHARACTERS
    return {"type": "string", "enum": sorted(counts)} if is_closed else {"type": "string"}


def _infer_array(lists: Sequence[list[Any]]) -> Schema:
    items = [item for one in lists for item in one]
    if not items:
        return {"type": "array", "maxItems": 0}
    return {"type": "array", "items": _infer_schema(items)} | ({"minItems": 1} if all(lists) else {})


def _infer_objects(objects: Sequence[dict[str, Any]]) -> list[Schema]:
    """One schema for each order of the keys."""
    keys = dict.fromkeys(key for one in objects for key in one)
    if len(keys) > MAX_KEYS:
        return [
            {
                "type": "object",
                "additionalProperties": _infer_schema([part for one in objects for part in one.values()]),
            }
        ]
    parts = {key: _infer_schema([one[key] for one in objects if key in one]) for key in keys}
    orders, is_complete = _find_key_orders([tuple(one) for one in objects])
    if not is_complete:  # the commonest order takes the others' keys too
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


def _find_key_orders(written: Sequence[tuple[str, ...]]) -> tuple[list[tuple[list[str], set[str]]], bool]:
    """At most `MAX_KEY_ORDERS` orders of keys, the commonest first, with the keys that all written so have; and whether
    each way of writing keys is part of one of them."""
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
    """An order that the keys are part of too, each new one directly behind what it follows; None where they contradict
    each other."""
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
