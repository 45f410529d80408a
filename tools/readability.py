"""How the code reads, in figures: `python tools/readability.py`. A mirror, not a gate.

Counted over src/: functions and methods whose name begins with a verb (without dunders, properties
and overrides that `@override` marks), names that hold a bare `of`, `#` comments for each 100 lines
of code, lines of more than 100 characters, and files that import each other in a circle, imports
for type checkers among them.
"""

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

MAX_COLUMNS = 100
# Every verb that a name of ours begins with; words that are only nouns or adjectives are not here.
VERB_TEXT = """
    abandon accept accumulate acknowledge acquire adapt add adjust admit adopt advance allow
    analyze answer append apply are arm ask assemble assert assign attach attempt attend
    authorize backward balance begin bind block bootstrap bracket build call can chat check
    choose clamp classify clear clip close cluster collate collect combine commit compare
    compile complete compose compress compute conclude confine consider constrain construct
    contain contains convert converse copy correct could count create cut decide decode
    decompress delete derive describe detect diff disable discard discover divide do download
    draw drop dump embed enable encode end ensure escape estimate evaluate exclude execute exit
    expand explain exponentiate export extend extract extrapolate fail fetch fill filter
    finalize find finish fit flag flatten flip flush fold forbid forecast forget format forward
    fuse gather generate get group guess handle has hash have hide hit hold import index infer
    init initialize inject insert inspect install intersect invert is iterate join keep kill
    label learn leave limit link list load lock log look make map mark mask match may measure
    merge migrate mix move multiply must name needs negate normalize note number open order pack
    pad parse pass patch pause perform pick pin plan pluralize post predict prefill prepare
    print probe profile prompt propose prove prune publish pull push put qualify quantize quit
    quote raise rank rate reach read rebuild recompute record redact redecide redirect reduce
    refresh refuse register reject release reload remove rename render repeat replace report
    represent request require rescale reset resolve respond restore resume retrieve retry return
    reveal reverse rewind rewrite round run sample sanitize save scale scan scatter score search
    select send serialize serve set should show shrink shut silence skip slice solve sort spell
    split start step stop store stream strip submit subtract suggest sum summarize supports
    suspend swap sync take tell test tokenize track train translate trim truncate try turn
    uninstall unpack unregister unwrap update upgrade upload use uses validate verify view visit
    wait walk warn watch weigh widen wrap write yield
"""
VERBS = frozenset(VERB_TEXT.split())
# Usual beginnings of converters and copies: `from_list`, `to_json`, `with_prompt`, `as_row`.
PREPOSITIONS = frozenset({"as", "from", "to", "with"})
# A property is a noun; an override has the name that its base class chose.
UNCOUNTED_DECORATORS = frozenset({"property", "cached_property", "setter", "override"})


def list_functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions and methods that have a name of their own choice: no dunders, no properties."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        decorators = {ast.unparse(item).rsplit(".", 1)[-1] for item in node.decorator_list}
        if not node.name.startswith("__") and not decorators & UNCOUNTED_DECORATORS:
            yield node


def begins_with_verb(name: str) -> bool:
    """Whether the first word of a name in snake case is a verb or a converter's preposition."""
    first = name.strip("_").split("_")[0]
    return first in VERBS or (first in PREPOSITIONS and name.strip("_") != first)


def has_bare_of(name: str) -> bool:
    """`method_of`, `of_all` and `of`: a relation without a verb."""
    words = name.strip("_").split("_")
    return "of" in (words[0], words[-1])


def count_comments(text: str) -> int:
    """Lines that hold a `#` comment which says something to a reader, not to a tool."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = (token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT)
    return sum(not comment.startswith(("noqa", "type:", "fmt:", "pragma")) for comment in comments)


def count_code_lines(text: str) -> int:
    """Lines that hold something besides blanks, comments and docstrings."""
    tree, skipped = ast.parse(text), set[int]()
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text and isinstance(node.value.value, str):
            skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return sum(
        bool(line.strip()) and line.lstrip()[0] != "#" and number not in skipped
        for number, line in enumerate(text.splitlines(), 1)
    )


def name_module(path: Path) -> str:
    """What an import calls a file; a package is called by its folder's name."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def list_imports(name: str, tree: ast.Module, modules: set[str]) -> set[str]:
    """The modules of ours that a module imports, at the top, in a function or for types."""
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            within = {f"{node.module}.{alias.name}" for alias in node.names} & modules
            found |= within or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return (found & modules) - {name}


def find_circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other (strongly connected, more than one; Tarjan 1972)."""
    index, low, stack, circles = dict[str, int](), dict[str, int](), list[str](), list[list[str]]()

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(imports[name]):
            if other not in index:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                circles.append(sorted(group))

    for name in sorted(imports):
        if name not in index:
            visit(name)
    return circles


def describe(source: Path) -> list[str]:
    """A line for each figure of the Python files below `source`."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(source.rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    names = [function.name for tree in trees.values() for function in list_functions(tree)]
    modules = {path: name_module(path.relative_to(source)) for path in texts}
    known = set(modules.values())
    imports = {modules[path]: list_imports(modules[path], trees[path], known) for path in trees}
    lines = [line for text in texts.values() for line in text.splitlines()]
    code = sum(map(count_code_lines, texts.values()))
    comments = sum(map(count_comments, texts.values()))
    circles = ["\n  " + " <-> ".join(circle) for circle in find_circles(imports)]
    verbs, bare = sum(map(begins_with_verb, names)), sum(map(has_bare_of, names))
    wide = sum(len(line) > MAX_COLUMNS for line in lines)
    skips = sum("fmt: skip" in line for line in lines)
    return [
        f"{len(texts)} files, {len(lines):,} lines, {len(names):,} functions",
        f"begin with a verb: {verbs / len(names):.1%}",
        f"have a bare `of`: {bare / len(names):.1%}",
        f"comments for each 100 lines of code: {100 * comments / code:.1f}",
        f"lines over {MAX_COLUMNS} characters: {wide / len(lines):.1%}",
        f"lines that the formatter skips: {skips}",
        f"circles of imports: {len(circles)}" + "".join(circles),
    ]


if __name__ == "__main__":
    root = Path(__file__).parent.parent
    print("\n".join(describe(Path(sys.argv[1]) if len(sys.argv) > 1 else root / "src")))
