"""The files of a stranger's model folder: what they may hold, and what stands where a file is expected."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.errors import ModelError
from tunesmith.files import open_regular_file, read_regular_file
from tunesmith.model_folder.config import check_config_keys
from tunesmith.model_folder.settings import MAX_SETTINGS_BYTES, read_settings
from tunesmith.models.resolve import resolve_model
from tunesmith.models.tokenizer import load_tokenizer

Make = Callable[..., Path]


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket may have 107 bytes
    try:
        server.bind(path.name)
    finally:
        os.chdir(here)
        server.close()


SPECIAL: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pipe": (make_pipe, "a pipe"),
    "a socket": (make_socket, "a socket"),
    "a folder": (Path.mkdir, "a folder"),
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "a device"),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "chat_template.jinja"])
def test_what_is_no_file_is_refused_at_once(make_folder: Make, kind: str, name: str) -> None:
    make, found = SPECIAL[kind]
    folder = make_folder()
    (folder / name).unlink()
    make(folder / name)
    with pytest.raises(ModelError) as caught:
        resolve_model(str(folder))
    assert caught.value.code == "model/unreadable" and caught.value.found == f"{found}, not a file"
    assert caught.value.where == str(folder / name)


@pytest.mark.parametrize("kind", SPECIAL)
def test_opening_what_is_no_file_never_waits(tmp_path: Path, kind: str) -> None:
    make, found = SPECIAL[kind]
    make(tmp_path / "x")
    with pytest.raises(OSError, match=f"{found}, not a file"):
        open_regular_file(tmp_path / "x")


def test_a_link_to_a_file_is_followed_as_hub_caches_need_it(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"content")
    (tmp_path / "link").symlink_to("blob")
    assert read_regular_file(tmp_path / "link") == b"content"


BROKEN = {
    "a key twice": ('{"vocab_size": 1, "vocab_size": 2}', "'vocab_size' stands twice"),
    "a key twice inside": ('{"a": {"b": 1, "b": 1}}', "'b' stands twice"),
    "NaN": ('{"a": NaN}', "NaN"),
    "a number of many digits": ('{"a": ' + "1" * 401 + "}", "401 digits"),
    "a number of very many digits": ('{"a": ' + "1" * 10_000 + "}", "10,000 digits"),
    "a list": ("[]", "list"),
    "a text": ('"x"', "str"),
    "nothing": ("", "Expecting value"),
    "half of it": ('{"a": ', "Expecting value"),
    "deep brackets": ("[" * 100_000, "nested"),
    "half a surrogate pair": ('{"a": "\\ud800"}', "surrogate"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_settings_that_readers_understand_differently_are_refused(tmp_path: Path, kind: str) -> None:
    text, found = BROKEN[kind]
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError) as caught:
        read_settings(tmp_path / "config.json")
    assert caught.value.code == "model/broken-settings" and found in caught.value.found


def test_settings_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ModelError, match="byte 7 is not UTF-8"):
        read_settings(tmp_path / "config.json")


def test_a_byte_order_mark_is_taken_off_and_infinity_is_a_number(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'\xef\xbb\xbf{"time_step_limit": [0.0, Infinity]}')
    assert read_settings(tmp_path / "config.json") == {"time_step_limit": [0.0, float("inf")]}


def test_very_large_settings_are_refused_unread(make_folder: Make) -> None:
    folder = make_folder()
    with (folder / "config.json").open("r+b") as file:
        file.truncate(MAX_SETTINGS_BYTES + 1)
    with pytest.raises(ModelError) as caught:
        resolve_model(str(folder))
    assert caught.value.code == "model/unreadable" and "more than" in caught.value.found


STEERING = {
    "auto_map": ({"AutoModel": "x.Y"}, "model/needs-own-code"),
    "trust_remote_code": (True, "model/needs-own-code"),
    "custom_pipelines": ({"x": {}}, "model/needs-own-code"),
    "quantization_config": ({"quant_method": "awq", "bits": 4}, "model/quantized"),
    "compression_config": ({"quant_method": "compressed-tensors"}, "model/quantized"),
    "transformers_weights": ("other.safetensors", "model/steers-loading"),
    "use_kernels": (True, "model/steers-loading"),
    "device_map": ("auto", "model/steers-loading"),
    "per_layer_config": ({"0": {"hidden_size": 8}}, "model/steers-loading"),
    "attribute_map": ({"a": "b"}, "model/steers-loading"),
    "attn_implementation": ("somebody/kernels", "model/steers-loading"),
    "_attn_implementation": ("paged|flash", "model/steers-loading"),
    "_attn_implementation_internal": ({"text_config": "somebody/kernels"}, "model/steers-loading"),
    "experts_implementation": ("somebody/kernels", "model/steers-loading"),
}


@pytest.mark.parametrize("key", STEERING)
@pytest.mark.parametrize("is_inside", [False, True])
def test_settings_that_select_code_or_weights_are_refused(make_folder: Make, key: str, is_inside: bool) -> None:
    value, code = STEERING[key]
    folder = make_folder(**({"text_config": {key: value}} if is_inside else {key: value}))
    with pytest.raises(ModelError) as caught:
        resolve_model(str(folder))
    assert caught.value.code == code and key in caught.value.found


@pytest.mark.parametrize(
    "config",
    [
        {"_attn_implementation_autoset": True},
        {"attn_implementation": "flash_attention_2"},
        {"_attn_implementation": "sdpa"},
        {"_attn_implementation": None, "auto_map": None, "quantization_config": None},
        {"_name_or_path": "../../somewhere", "torch_dtype": "bfloat16", "unsloth_version": "2024.9"},
    ],
)
def test_usual_leftovers_in_settings_are_passed_over(config: dict[str, object], tmp_path: Path) -> None:
    check_config_keys(config, tmp_path)


@pytest.mark.parametrize(
    ("method", "found"),
    [
        ({"quant_method": "awq", "bits": 4}, "awq, 4 bits"),
        ({"quant_method": "gptq", "bits": 8}, "gptq, 8 bits"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes, 8 bits"),
        ({"quant_method": "torchao", "quant_type": "int4_weight_only"}, "torchao"),
        ({"quant_method": "fp8"}, "fp8"),
        ("of another kind", "of another kind"),
    ],
)
def test_quantized_weights_are_named_with_their_method(make_folder: Make, method: object, found: str) -> None:
    with pytest.raises(ModelError) as caught:
        resolve_model(str(make_folder(quantization_config=method)))
    assert caught.value.code == "model/quantized" and found in caught.value.found
    assert "qlora" in caught.value.do


@pytest.mark.parametrize("layers", [2, 500, 10**9])
@pytest.mark.parametrize("key", ["num_hidden_layers", "n_layer", "num_layers"])
def test_layers_that_no_weight_is_there_for_are_refused(make_folder: Make, key: str, layers: int) -> None:
    with pytest.raises(ModelError) as caught:
        resolve_model(str(make_folder(**{key: layers})))
    assert caught.value.code == "model/wrong-size" and "1 layers" in caught.value.found


@pytest.mark.parametrize("eos", [[{}], {}, "x", [None, 1.5], [-1], [2**70], True])
def test_end_tokens_of_another_type_are_passed_over(make_folder: Make, eos: object) -> None:
    folder = make_folder()
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": eos}))
    assert load_tokenizer(folder).end_of_turn == "<|im_end|>"
