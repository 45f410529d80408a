"""Detect templates that copy message contents without inspecting them, and render those by pasting.

Most templates write a message's content between fixed pieces of text and never test it. For such a
template the text of a conversation follows from the roles alone: it is rendered once for each
sequence of roles, with placeholders for the contents, and every other conversation with these roles
is made by inserting its contents. That is exact, and many times cheaper than running the template.

Whether a template is of this kind is read from its syntax tree and never guessed. `copies_contents`
allows a content to be concatenated, trimmed, assigned and written, and nothing else: no condition,
no other filter, no call, no index. Anything unknown makes it return False, and then the template
itself renders everything. Trimming is decided for contents that are not blank; the others are left
to the template.
"""

from collections.abc import Callable, Iterator, Sequence

from jinja2 import nodes

from tunesmith.records import Message

OPEN_MARKER, CLOSE_MARKER = "\ue000", "\ue001"
"""Private-use characters around a placeholder's number; a content that has one is never pasted."""
TRIM_MARKER = "\u2003"
"""An em space on both sides of a placeholder: trimming removes it, and no template writes one."""
MAX_SKELETONS = 256
LOOP_COUNTERS = {
    "first",
    "last",
    "index",
    "index0",
    "revindex",
    "revindex0",
    "length",
    "depth",
    "depth0",
}
TYPE_TESTS = {
    "defined",
    "undefined",
    "none",
    "string",
    "mapping",
    "iterable",
    "sequence",
    "number",
    "boolean",
}
KNOWN_NODES = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.For,
    nodes.If,
    nodes.Assign,
    nodes.Scope,
    nodes.ExprStmt,
    nodes.Continue,
    nodes.Break,
    nodes.Name,
    nodes.NSRef,
    nodes.Const,
    nodes.List,
    nodes.Tuple,
    nodes.Dict,
    nodes.Pair,
    nodes.Keyword,
    nodes.CondExpr,
    nodes.Filter,
    nodes.Test,
    nodes.Call,
    nodes.Getitem,
    nodes.Getattr,
    nodes.Slice,
    nodes.Concat,
    nodes.Compare,
    nodes.Operand,
    nodes.BinExpr,
    nodes.UnaryExpr,
)

Slot = tuple[int, bool, bool]
"""(index of the message, whether its content is stripped on the left, and on the right)."""


class _TemplateTree:
    """A template's syntax tree with the parent of each node, and what each name may hold."""

    def __init__(self, template: nodes.Template) -> None:
        self.parents: dict[int, nodes.Node] = {}
        self.all_nodes = list(_walk(template, self.parents))
        self.list_names, self.message_names, self.content_names = (
            {"messages"},
            set[str](),
            set[str](),
        )
        # To a fixed point: a name may be used above the assignment that reveals what it holds.
        while self._learn_names():
            pass

    def _learn_names(self) -> bool:
        """Follow assignments and loops once; return whether a new name was learned."""
        before = len(self.list_names) + len(self.message_names) + len(self.content_names)
        for node in self.all_nodes:
            if isinstance(node, nodes.For) and isinstance(node.target, nodes.Name):
                if self.is_list(node.iter):
                    self.message_names.add(node.target.name)
            elif isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name):
                name = node.target.name
                if self.is_list(node.node):
                    self.list_names.add(name)
                elif self.is_message(node.node):
                    self.message_names.add(name)
                elif any(map(self.is_content, _walk(node.node, {}))):
                    self.content_names.add(name)
        return len(self.list_names) + len(self.message_names) + len(self.content_names) > before

    def is_list(self, node: nodes.Node) -> bool:
        """Whether this is the list of all messages, or a slice of it."""
        if isinstance(node, nodes.Getitem):
            return isinstance(node.arg, nodes.Slice) and self.is_list(node.node)
        return isinstance(node, nodes.Name) and node.name in self.list_names

    def is_message(self, node: nodes.Node) -> bool:
        """Whether this is one message: an element of the list, or a name that holds one."""
        if isinstance(node, nodes.Getitem):
            return not isinstance(node.arg, nodes.Slice) and self.is_list(node.node)
        return isinstance(node, nodes.Name) and node.name in self.message_names

    def is_content(self, node: nodes.Node) -> bool:
        """Whether this is a message's content, or a name that may hold text made from it."""
        if isinstance(node, nodes.Name):
            return node.name in self.content_names and node.ctx == "load"
        return self._get_message_key(node) == "content"

    def _get_message_key(self, node: nodes.Node) -> str | None:
        if isinstance(node, nodes.Getattr) and self.is_message(node.node):
            return node.attr
        if isinstance(node, nodes.Getitem) and self.is_message(node.node):
            return node.arg.value if isinstance(node.arg, nodes.Const) else None
        return None

    def is_harmless(self, node: nodes.Node) -> bool:
        """Whether this node reveals nothing about a content other than by writing it."""
        if not isinstance(node, KNOWN_NODES):
            return False
        if isinstance(node, nodes.For) and self.is_list(node.iter):
            return isinstance(node.target, nodes.Name) and not node.recursive
        if isinstance(node, nodes.Name) and node.name == "strftime_now":
            return False  # the text depends on the day
        if isinstance(node, nodes.Name) and node.name == "loop":
            parent = self.parents[id(node)]
            return isinstance(parent, nodes.Getattr) and parent.attr in LOOP_COUNTERS
        if isinstance(node, nodes.Name) and node.ctx != "load":
            # A name must stay one kind: a content, a message or the list of all messages.
            kinds = (self.list_names, self.message_names, self.content_names)
            return sum(node.name in kind for kind in kinds) <= 1
        if self.is_list(node):
            return self._is_harmless_list(node)
        if self.is_message(node):
            return self._is_harmless_message(node)
        return not self.is_content(node) or self._is_harmless_content(node)

    def _is_harmless_list(self, node: nodes.Node) -> bool:
        parent = self.parents[id(node)]
        if isinstance(parent, nodes.For):
            return parent.iter is node
        if isinstance(parent, nodes.Getitem):
            return parent.node is node
        if isinstance(parent, nodes.Filter):
            return parent.name in ("length", "count")
        return isinstance(parent, nodes.Assign | nodes.Test | nodes.If) and self._is_type_test(
            parent
        )

    def _is_harmless_message(self, node: nodes.Node) -> bool:
        parent = self.parents[id(node)]
        if isinstance(parent, nodes.Getattr | nodes.Getitem):
            # jinja2 also resolves a dictionary's methods: `message.items` would read the contents.
            key = self._get_message_key(parent)
            return isinstance(key, str) and not hasattr(dict, key)
        if isinstance(parent, nodes.Operand):  # 'tool_calls' in message
            compare = self.parents[id(parent)]
            return (
                parent.op in ("in", "notin")
                and isinstance(compare, nodes.Compare)
                and isinstance(compare.expr, nodes.Const)
            )
        return isinstance(parent, nodes.Assign | nodes.Test) and self._is_type_test(parent)

    def _is_harmless_content(self, node: nodes.Node) -> bool:
        """Follow the text outward through permitted operations until it is written or assigned."""
        parent = self.parents[id(node)]
        if isinstance(parent, nodes.Output):
            return True
        if isinstance(parent, nodes.Assign):
            return isinstance(parent.target, nodes.Name)
        if isinstance(parent, nodes.Test):
            return self._is_type_test(parent)
        if isinstance(parent, nodes.CondExpr):
            # `x if content else y` tests the content; as a branch it is only passed on.
            return parent.test is not node and self._is_harmless_content(parent)
        if isinstance(parent, nodes.Filter):
            is_trim = parent.name in ("trim", "string") and not (parent.args or parent.kwargs)
            return is_trim and self._is_harmless_content(parent)
        if isinstance(parent, nodes.Getattr):  # content.strip()
            call = self.parents[id(parent)]
            is_strip = isinstance(call, nodes.Call) and not (call.args or call.kwargs)
            return parent.attr == "strip" and is_strip and self._is_harmless_content(call)
        return isinstance(parent, nodes.Add | nodes.Concat) and self._is_harmless_content(parent)

    def _is_type_test(self, parent: nodes.Node) -> bool:
        return not isinstance(parent, nodes.Test) or parent.name in TYPE_TESTS


def _walk(node: nodes.Node, parents: dict[int, nodes.Node]) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        parents[id(child)] = node
        yield from _walk(child, parents)


def copies_contents(template: nodes.Template | None) -> bool:
    """Whether the text follows from the roles, apart from copied contents; False when unknown."""
    if template is None:
        return False
    try:
        tree = _TemplateTree(template)
        return all(map(tree.is_harmless, tree.all_nodes))
    except RecursionError:
        return False


class SkeletonRenderer:
    """Renders plain conversations of a copying template, running it once per role sequence."""

    def __init__(self, render: Callable[[Sequence[Message], bool], str | None]) -> None:
        """`render` runs the template on (messages, open_answer); None where it refuses."""
        self._render = render
        self._skeletons: dict[tuple[object, ...], list[str | Slot] | None] = {}

    def render(self, messages: Sequence[Message], *, open_answer: bool) -> str | None:
        """The conversation's text; None where the template itself must be run."""
        if not can_use_skeleton(messages):
            return None
        key = (open_answer, *(message.role for message in messages))
        if key not in self._skeletons:
            if len(self._skeletons) >= MAX_SKELETONS:
                return None
            self._skeletons[key] = self._make_skeleton(messages, open_answer)
        skeleton = self._skeletons[key]
        return None if skeleton is None else _fill_skeleton(skeleton, messages)

    def _make_skeleton(
        self, messages: Sequence[Message], open_answer: bool
    ) -> list[str | Slot] | None:
        """The fixed pieces and the slots between them; None where pasting is not exact."""
        placed = [
            Message(message.role, f"{TRIM_MARKER}{OPEN_MARKER}{i}{CLOSE_MARKER}{TRIM_MARKER}")
            for i, message in enumerate(messages)
        ]
        text = self._render(placed, open_answer)
        if text is None:
            return None
        skeleton: list[str | Slot] = []
        pieces = text.split(OPEN_MARKER)
        literal = pieces[0]
        for piece in pieces[1:]:
            number, _, rest = piece.partition(CLOSE_MARKER)
            # A marker that is gone was trimmed by the template, so contents are trimmed there too.
            is_left, is_right = not literal.endswith(TRIM_MARKER), not rest.startswith(TRIM_MARKER)
            skeleton += [literal if is_left else literal[:-1], (int(number), is_left, is_right)]
            literal = rest if is_right else rest[1:]
        skeleton.append(literal)
        # Verified once on real contents: a test by example in addition to the proof by syntax tree.
        return (
            skeleton
            if _fill_skeleton(skeleton, messages) == self._render(messages, open_answer)
            else None
        )


def can_use_skeleton(messages: Sequence[Message]) -> bool:
    """Whether these messages are only roles and contents that can be pasted."""
    return all(map(_is_plain, messages))


def _fill_skeleton(skeleton: Sequence[str | Slot], messages: Sequence[Message]) -> str:
    parts = []
    for part in skeleton:
        if isinstance(part, str):
            parts.append(part)
            continue
        position, is_left, is_right = part
        content = messages[position].content
        if is_left:
            content = content.lstrip()
        parts.append(content.rstrip() if is_right else content)
    return "".join(parts)


def _is_plain(message: Message) -> bool:
    """Whether a message is only a role and a content that is not blank and holds no marker."""
    if message.tool_calls or message.name or message.tool_call_id or message.reasoning:
        return False
    content = message.content
    return not (
        not content or content.isspace() or OPEN_MARKER in content or CLOSE_MARKER in content
    )
