"""Prepared splits, kept: tokenising 100,000 examples takes many seconds, reading their tokens back a tenth of one.

A file in `prepared/` of the home folder, named by a hash of all that the arrays follow from: the examples' content in
their order, the instruction in front of them, tokenizer, chat template, limit, method, version. The arrays are verified
by their content hash; a file that is damaged or cannot be read is made again. The newest few are kept.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tunesmith.data.prepare import content_of, prepare_split, record_of
from tunesmith.data.render import TrainOn
from tunesmith.files import home_folder, replacing
from tunesmith.records import ChatTokenizer, Example, Method, Prepared, TokenArrays, fingerprint_of

FORMAT = 1  # raise it when the same examples are to become other tokens or weights
LEAST_EXAMPLES = 5_000
FILES_KEPT = 8


def prepare_or_recall(
    name: str, examples: Sequence[Example], tokenizer: ChatTokenizer, max_tokens: int, train_on: TrainOn, method: Method
) -> tuple[Prepared, TokenArrays]:
    """As `prepare_split`, from the cache when it was done before. Errors: as `prepare_split`."""
    if len(examples) < LEAST_EXAMPLES:
        return prepare_split(name, examples, tokenizer, max_tokens, train_on, method)
    key = _key(name, examples, tokenizer, max_tokens, train_on, method)
    path = home_folder() / "prepared" / f"{key}.safetensors"
    known = _recall(path)
    if known is not None:
        return record_of(name, known, tokenizer, max_tokens), known
    prepared, arrays = prepare_split(name, examples, tokenizer, max_tokens, train_on, method)
    with suppress(OSError):  # no room or no right: next time it is prepared again
        _keep(path, arrays)
    return prepared, arrays


def _key(
    name: str, examples: Sequence[Example], tokenizer: ChatTokenizer, max_tokens: int, train_on: TrainOn, method: Method
) -> str:
    try:
        program = version("tunesmith")
    except PackageNotFoundError:
        program = "source"
    # An id is of the content without the instruction that the recipe puts in front.
    contents = [[e.id, *(m.content for m in e.messages[:1] if m.role == "system")] for e in examples]
    hashes = [tokenizer.tokenizer_sha256, tokenizer.template_sha256]
    return fingerprint_of([FORMAT, program, name, hashes, max_tokens, train_on, method, contents])[:32]


def _recall(path: Path) -> TokenArrays | None:
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no dictionary)
            known_hash, per_example = json.loads((file.metadata() or {})["arrays"])
        arrays = TokenArrays(
            tensors["tokens_N"], tensors["weights_N"], tensors["starts_S1"], per_example, tensors.get("is_desirable_E")
        )
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    if known_hash != _hash_of(arrays):
        return None
    with suppress(OSError):
        path.touch()  # used lately
    return arrays


def _keep(path: Path, arrays: TokenArrays) -> None:
    tensors = {"tokens_N": arrays.tokens_N, "weights_N": arrays.weights_N, "starts_S1": arrays.starts_S1}
    if arrays.is_desirable_E is not None:
        tensors["is_desirable_E"] = arrays.is_desirable_E
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"arrays": json.dumps([_hash_of(arrays), arrays.sequences_per_example])})
    newest_first = sorted(path.parent.glob("*.safetensors"), key=lambda kept: kept.stat().st_mtime, reverse=True)
    for old in newest_first[FILES_KEPT:]:
        old.unlink(missing_ok=True)


def _hash_of(arrays: TokenArrays) -> str:
    return fingerprint_of([content_of(arrays), arrays.sequences_per_example])
