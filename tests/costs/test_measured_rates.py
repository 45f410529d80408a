"""How fast a model is here is measured once, kept, and used at another load."""

from pathlib import Path

import pytest

from tunesmith.costs.load_warnings import compute_stolen_fraction, list_load_warnings
from tunesmith.costs.measured_rates import CachedRates, RatesFile, RatesLookup
from tunesmith.engine.machine_measurement import Rates, Throughput
from tunesmith.records import Machine, ModelIdentity, Recipe

RATES = Rates(
    token_seconds=0.004,
    validation_token_seconds=0.001,
    update_seconds=0.1,
    pass_seconds=0.05,
    pass_sequence_seconds=0.01,
)
MACHINE = Machine(platform="p", processor="q", cores=2, memory_bytes=1, accelerator=None)


def kept(waiting: float | None) -> CachedRates:
    return CachedRates(seconds=vars(RATES), waiting=waiting, at="2026-01-31T00:00:00+00:00")


def model(sha256: str) -> ModelIdentity:
    return ModelIdentity(
        name="m", source="folder", revision=None, folder="f", files={"config.json": sha256}
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path))
    return tmp_path


def test_what_was_measured_is_found_again_and_another_model_is_not(home: Path) -> None:
    file = RatesFile.of(model("a"), MACHINE, Recipe())
    assert file.read() is None
    file.write(RATES, 0.1)
    again = RatesFile.of(model("a"), MACHINE, Recipe()).read()
    assert again is not None and again.at_load(0.1) == RATES
    assert RatesFile.of(model("b"), MACHINE, Recipe()).read() is None
    other = MACHINE.model_copy(update={"cores": 4})
    assert RatesFile.of(model("a"), other, Recipe()).read() is None


def test_other_threads_and_another_dtype_are_other_rates(home: Path) -> None:
    import torch

    threads = torch.get_num_threads()
    file = RatesFile.of(model("a"), MACHINE, Recipe())
    try:
        torch.set_num_threads(threads + 1)
        assert RatesFile.of(model("a"), MACHINE, Recipe()) != file
    finally:
        torch.set_num_threads(threads)
    training = Recipe().training
    dtypes = [
        Recipe(training=training.model_copy(update={"dtype": name})) for name in ("float32", "bf16")
    ]
    assert len({RatesFile.of(model("a"), MACHINE, one) for one in dtypes}) == 2


def test_a_damaged_file_is_measured_again(home: Path) -> None:
    file = RatesFile.of(model("a"), MACHINE, Recipe())
    file.write(RATES, 0.1)
    (path,) = (home / "rates").iterdir()
    path.write_text("{")
    assert file.read() is None


def test_rates_that_another_version_named_otherwise_are_measured_again(home: Path) -> None:
    file = RatesFile.of(model("a"), MACHINE, Recipe())
    file.write(RATES, 0.1)
    (path,) = (home / "rates").iterdir()
    path.write_text(path.read_text().replace("token_seconds", "seconds_a_token"))
    assert file.read() is None


def test_where_half_the_time_is_spent_waiting_for_a_core_everything_takes_twice_as_long() -> None:
    busy = kept(0.0).at_load(0.5)
    assert busy.token_seconds == pytest.approx(0.008) and busy.pass_seconds == pytest.approx(0.1)
    assert kept(0.5).at_load(0.75).update_seconds == pytest.approx(0.2)
    assert kept(None).at_load(None) == RATES


def test_what_a_busy_machine_showed_serves_only_one_as_busy() -> None:
    assert kept(0.6).serves_at(0.7) and not kept(0.6).serves_at(0.3)
    assert kept(0.1).serves_at(0.0), "hardly any waiting"
    recall = RatesLookup(kept(0.6), lambda: 0.3)
    assert recall() is None and recall.used_of is None
    used = RatesLookup(kept(0.1), lambda: 0.3)
    assert used() == kept(0.1).at_load(0.3) and used.used_of == "2026-01-31T00:00:00+00:00"
    assert RatesLookup(None, lambda: 0.0)() is None


def test_a_prompt_is_as_many_tokens_at_any_rate() -> None:
    pace = Throughput(0.0, 1.0, 0.0, 0.0, prompt_seconds=40.0, used_bytes=5.0).at(RATES)
    assert pace.prompt_seconds == pytest.approx(0.04) and pace.used_bytes == 5.0
    assert pace.rates == RATES


def test_a_busy_machine_is_told_with_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert list_load_warnings(0.05, 5.0, 2, 0.0) == (), (
        "others may be busy on other cores: this program waited for none"
    )
    (line,) = list_load_warnings(0.4, 1.5, 2, 0.0)
    assert line.startswith(
        "the machine is busy (this process waited for a processor core 40% of the time, load "
        "3.0 on 2 cores)"
    )
    assert "OMP_NUM_THREADS=1 may be faster" in line
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "OMP_NUM_THREADS" not in list_load_warnings(0.4, 1.5, 2, 0.0)[0]
    (line,) = list_load_warnings(0.0, 0.5, 2, 0.25)
    assert "the hypervisor takes 25% of the processor time (steal)" in line
    (line,) = list_load_warnings(None, 1.5, 2, 0.0)
    assert line.startswith("the machine is busy (load 3.0 on 2 cores)")


class Times(tuple[float, ...]):
    """As `psutil.cpu_times` gives them."""

    steal = 0.0

    def __new__(cls, rest: float, steal: float) -> "Times":
        made = super().__new__(cls, (rest, steal))
        made.steal = steal
        return made


def test_time_that_the_host_takes_away_is_a_share_of_all_that_passed() -> None:
    assert compute_stolen_fraction(Times(10.0, 1.0), Times(16.0, 3.0)) == pytest.approx(0.25)
    assert compute_stolen_fraction((1.0, 2.0), (3.0, 4.0)) == 0.0, (
        "a machine that does not count it"
    )
