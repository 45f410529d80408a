"""The pages of docs/reference/, from the docstrings of the public names: `tools/docs.py` writes and
compares them.
"""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import tunesmith
from tunesmith import callbacks, events

STUB = Path(tunesmith.__file__).with_suffix(".pyi")
PAGES = {
    "commands": "Commands",
    "data-and-models": "Data, models and contenders",
    "recipes": "Recipes",
    "records": "Records",
    "events": "Events and callbacks",
}
"""The pages, with their titles."""
_INTRODUCTION = "Generated from the docstrings by `python tools/docs.py`. How to use them:"


def build_pages() -> dict[str, str]:
    """File name -> content of every page, the index among them."""
    sorted_in: dict[str, list[tuple[str, Any]]] = {page: [] for page in PAGES}
    for name, module in list_names():
        sorted_in[choose_page(name, module)].append((name, getattr(tunesmith, name)))
    for module in (events, callbacks):
        for name, thing in vars(module).items():
            if inspect.isclass(thing) and thing.__module__ == module.__name__ and name[0] != "_":
                short = module.__name__.removeprefix("tunesmith.")
                sorted_in["events"].append((f"{short}.{name}", thing))
    pages = {"README.md": _build_index(sorted_in)}
    for page, title in PAGES.items():
        parts = [part for name, thing in sorted_in[page] for part in describe(name, thing)]
        pages[f"{page}.md"] = "\n\n".join([f"# {title}", *parts]) + "\n"
    return pages


def list_names() -> Iterator[tuple[str, str]]:
    """(name, module that defines it) of each public name that is no module."""
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((alias.name, node.module) for alias in node.names)


def choose_page(name: str, module: str) -> str:
    """The page that a name stands on."""
    if module == "api.commands" or name in ("load_recipe", "Result"):
        return "commands"
    if name.endswith("Recipe") or name in ("Requirements", "UsageContext"):
        return "recipes"
    return "records" if module == "records" else "data-and-models"


def describe(name: str, thing: Any) -> Iterator[str]:
    """The parts of a name's entry: heading, signature or fields, docstring, methods."""
    yield f"## `{name}`"
    if inspect.isclass(thing) and issubclass(thing, BaseModel):
        yield clean(thing)
        rows = [
            f"| `{field}` | {'required' if info.is_required() else 'optional'} "
            f"| {info.description or ''} |"
            for field, info in thing.model_fields.items()
        ]
        yield "\n".join(["| field | | what |", "|---|---|---|", *rows])
    else:
        # indented and not fenced: the formatter would format the signature as code
        yield f"    {name.rpartition('.')[2]}{format_signature(thing)}"
        yield clean(thing)
    if inspect.isclass(thing) and not issubclass(thing, BaseException):
        for method, function in vars(thing).items():
            inner = getattr(function, "__func__", getattr(function, "fget", function))
            if method[0] != "_" and inspect.isfunction(inner) and inner.__doc__:
                is_property = isinstance(function, property)
                signature = "" if is_property else format_signature(inner)
                yield f"**`{method}{signature}`**: {clean(inner)}"


def format_signature(thing: Any) -> str:
    """The parameters with their defaults; types stand in the source, which editors show."""
    if inspect.isclass(thing) and not is_dataclass(thing) and "__init__" not in vars(thing):
        return "(...)"
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return "(...)"
    kept = [
        one.replace(annotation=inspect.Parameter.empty)
        for one in parameters
        if one.name not in ("self", "cls")
    ]
    return str(inspect.Signature(kept)).replace("<factory>", "...")


def clean(thing: Any) -> str:
    """The docstring without its indentation."""
    return inspect.cleandoc(thing.__doc__ or "")


def _build_index(sorted_in: dict[str, list[tuple[str, Any]]]) -> str:
    lines = ["# Reference", "", f"{_INTRODUCTION} [the guide](../guide/python.md).", ""]
    for page, title in PAGES.items():
        lines += [f"## [{title}]({page}.md)", "", "| name | what |", "|---|---|"]
        for name, thing in sorted_in[page]:
            first = " ".join(clean(thing).split("\n\n")[0].split()).replace("|", "\\|")
            lines.append(f"| `{name}` | {first} |")
        lines.append("")
    return "\n".join(lines)
