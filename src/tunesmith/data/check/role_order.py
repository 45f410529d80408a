"""Conversations with an unusual order of roles."""

from collections.abc import Iterator
from itertools import pairwise

from tunesmith.data.check.context import CheckContext
from tunesmith.records import Message, Problem


def check_roles(context: CheckContext) -> Iterator[Problem]:
    """A warning only, since some templates accept any order; others cause `template-refused`."""
    found = [
        i for i in context.unusual if (m := context.examples[i].messages) and _find_order_error(m)
    ]
    if found:
        first = _find_order_error(context.examples[found[0]].messages)
        yield from context.report_problems(
            "role-order",
            "warning",
            found,
            f"have an unusual order of roles (first: {first})",
            "begin with system or user, then alternate user and assistant; tool follows a call",
        )


def _find_order_error(messages: tuple[Message, ...]) -> str | None:
    """A description of the first unusual transition, or None."""
    turns = [message for message in messages if message.role != "system"]
    # None stands for calls and results without ids, which are matched by position.
    called: set[str | None] = {None}
    if any(message.role == "system" for message in messages[1:]):
        return "system after the first message"
    if not turns or turns[0].role != "user":
        return f"{(turns[0].role if turns else 'nothing')} before the first user message"
    for before, after in pairwise(turns):
        called |= {call.get("id") for call in before.tool_calls}
        if after.role == "tool" and after.tool_call_id not in called and called != {None}:
            return f"a tool result for {after.tool_call_id!r}, an id that no earlier call has"
        is_called = before.role == "tool" or bool(before.tool_calls)
        if after.role == "tool" and not is_called:
            return "tool without a call"
        if after.role != "tool" and after.role == before.role:
            return f"two consecutive {after.role} messages"
        if after.role == "user" and before.role == "tool":
            return "user after tool"
    return None
