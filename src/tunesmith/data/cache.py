"""Cache of check reports and prepared splits.

Checking and tokenizing 100,000 examples takes many seconds, loading the result none. Each result is
a file in `prepared/` of the home folder, named by a hash of everything that it depends on. For
token arrays: the examples' content in order, the instruction before them, tokenizer, chat template,
length limit, method, version. For a report: the SHA-256 of every data file, the data section of the
recipe, tokenizer, chat template, length limit, method, version.
What is loaded is verified by its hash; a damaged or unreadable file is computed again. Only the
newest files are kept.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tunesmith.atomic_io import get_home_folder, replace_atomically, write_atomically
from tunesmith.data.check import check_examples
from tunesmith.data.prepare import build_split_record, compute_content_hash, prepare_split
from tunesmith.data.read import LoadedDataset
from tunesmith.records import (
    ChatTokenizer,
    CheckReport,
    DataRecipe,
    Example,
    Method,
    PreparedSplit,
    TokenArrays,
    compute_fingerprint,
)
from tunesmith.records.tokenized_data import name_columns, read_columns

# Raise it when the same examples get other tokens, weights or reported problems.
CACHE_VERSION = 5
MIN_EXAMPLES = 5_000
MAX_FILES = 8


def check_with_cache(
    loaded: LoadedDataset,
    test: LoadedDataset | None,
    tokenizer: ChatTokenizer,
    max_tokens: int,
    model: str,
    data: DataRecipe,
    method: Method | None = None,
) -> CheckReport:
    """`check_examples`, from the cache when the same files were checked with the same settings."""
    # Small data is checked faster than a cache file is read and verified.
    if len(loaded.examples) < MIN_EXAMPLES:
        return check_examples(loaded, test, tokenizer, max_tokens, model, method)
    files = [of.dataset.model_dump(mode="json") for of in (loaded, test) if of is not None]
    hashes = _list_tokenizer_hashes(tokenizer)
    said = [data.model_dump(mode="json"), max_tokens, model, method]
    key = compute_fingerprint([CACHE_VERSION, _get_version(), files, hashes, *said])[:32]
    path = get_home_folder() / "prepared" / f"{key}.json"
    known = _load_report(path)
    if known is not None:
        return known
    report = check_examples(loaded, test, tokenizer, max_tokens, model, method)
    with suppress(OSError):
        text = report.model_dump_json()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, f"{_hash_text(text)}\n{text}")
        _remove_old_files(path)
    return report


def _load_report(path: Path) -> CheckReport | None:
    try:
        known_hash, _, text = path.read_text(encoding="utf-8").partition("\n")
        report = CheckReport.model_validate_json(text) if known_hash == _hash_text(text) else None
    except (OSError, UnicodeDecodeError, ValidationError):
        return None
    with suppress(OSError):
        path.touch()
    return report


def _hash_text(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def prepare_with_cache(
    name: str,
    examples: Sequence[Example],
    tokenizer: ChatTokenizer,
    max_tokens: int,
    train_on_prompts: bool,
    method: Method,
) -> tuple[PreparedSplit, TokenArrays]:
    """`prepare_split`, from the cache when it ran before. Errors: as `prepare_split`."""
    if len(examples) < MIN_EXAMPLES:
        return prepare_split(name, examples, tokenizer, max_tokens, train_on_prompts, method)
    key = _compute_key(name, examples, tokenizer, max_tokens, train_on_prompts, method)
    path = get_home_folder() / "prepared" / f"{key}.safetensors"
    known = _load_arrays(path)
    if known is not None:
        return build_split_record(name, known, tokenizer, max_tokens), known
    prepared, arrays = prepare_split(
        name, examples, tokenizer, max_tokens, train_on_prompts, method
    )
    with suppress(OSError, SafetensorError):  # disk full or read-only: prepared again next time
        _save_arrays(path, arrays)
    return prepared, arrays


def _compute_key(
    name: str,
    examples: Sequence[Example],
    tokenizer: ChatTokenizer,
    max_tokens: int,
    train_on_prompts: bool,
    method: Method,
) -> str:
    # An id covers the content without the instruction that the recipe prepends, and ignores the
    # order of arguments and the ids of calls, all of which the template may write.
    contents = [
        [e.id, *(m.content for m in e.messages[:1] if m.role == "system"), *_dump_calls(e)]
        for e in examples
    ]
    hashes = _list_tokenizer_hashes(tokenizer)
    return compute_fingerprint(
        [
            CACHE_VERSION,
            _get_version(),
            name,
            hashes,
            max_tokens,
            train_on_prompts,
            method,
            contents,
        ]
    )[:32]


def _list_tokenizer_hashes(tokenizer: ChatTokenizer) -> list[str]:
    """Hashes of all that determines text and tokens; also the date if the template prints it."""
    day = [date.today().isoformat()] if tokenizer.uses_current_date else []
    return [tokenizer.tokenizer_sha256, tokenizer.template_sha256, *day]


def _dump_calls(example: Example) -> list[str]:
    messages = example.messages + example.rejected
    return [
        json.dumps([m.tool_calls, m.tool_call_id])
        for m in messages
        if m.tool_calls or m.tool_call_id
    ]


def _get_version() -> str:
    try:
        return version("tunesmith")
    except PackageNotFoundError:
        return "source"


def _load_arrays(path: Path) -> TokenArrays | None:
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no dictionary)
            known_hash, per_example = json.loads((file.metadata() or {})["arrays"])
        arrays = TokenArrays(
            tensors["tokens_N"],
            tensors["weights_N"],
            tensors["starts_S1"],
            per_example,
            read_columns(tensors),
        )
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    if known_hash != _hash_arrays(arrays):
        return None
    with suppress(OSError):
        path.touch()  # marks it as recently used for `_remove_old_files`
    return arrays


def _save_arrays(path: Path, arrays: TokenArrays) -> None:
    tensors = {
        "tokens_N": arrays.tokens_N,
        "weights_N": arrays.weights_N,
        "starts_S1": arrays.starts_S1,
    }
    tensors |= name_columns(arrays)
    with replace_atomically(path) as temporary:
        save_file(
            tensors,
            temporary,
            metadata={"arrays": json.dumps([_hash_arrays(arrays), arrays.sequences_per_example])},
        )
    _remove_old_files(path)


def _remove_old_files(path: Path) -> None:
    """Delete all but the `MAX_FILES` most recently used files with this suffix."""
    ours = (
        kept
        for kept in path.parent.iterdir()
        if re.fullmatch(rf"[0-9a-f]{{32}}\{path.suffix}", kept.name)
    )
    newest_first = sorted(ours, key=lambda kept: kept.stat().st_mtime, reverse=True)
    for old in newest_first[MAX_FILES:]:
        old.unlink(missing_ok=True)


def _hash_arrays(arrays: TokenArrays) -> str:
    return compute_fingerprint([compute_content_hash(arrays), arrays.sequences_per_example])
