"""Ctrl-C in every long step of every command: how soon a line, how soon the end, which code, what
it says.

    python benchmarks/stop_anywhere.py  every step below, 60 s long in place of its own time
    python benchmarks/stop_anywhere.py --foreign
        the same inside one call of foreign code, where no handler runs
    python benchmarks/stop_anywhere.py --commands train,export

A step of a training and a checkpoint are finished, so they take one second here. Where a run's
folder is left, `resume` must bring it to its end. Prints one table. The model is tiny and random;
nothing is fetched.
"""

import argparse
import hashlib
import importlib
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tiny_world import World, leftovers_in, visible_in

import tunesmith.workflow.check
import tunesmith.workflow.data_summary
import tunesmith.workflow.estimate  # noqa: F401 - imported once here and not in each fork
from tunesmith.cli.main import run
from tunesmith.runs.signals import install_signal_handlers

LONG_SECONDS, FINISHED_SECONDS, REACHED_SECONDS = 60.0, 1.0, 120.0
INSIDE_SECONDS = 0.1
"""From the word that a step is reached until the call in it is under way."""


class Step(NamedTuple):
    """Where a command stands when it is asked to stop: in the call number `nth` of a function of
    the program."""

    command: str
    what: str
    function: str
    nth: int = 1
    is_finished: bool = False


STEPS = (
    Step("check", "reading the data", "workflow.check.load_data"),
    Step("check", "the checks", "workflow.check.check_examples"),
    Step("check", "what decide will make of the data", "workflow.data_summary.describe_data"),
    Step("estimate", "reading and preparing the data", "workflow.estimate.prepare_data"),
    Step("estimate", "measuring this machine", "engine.machine_measurement.profile_slices"),
    Step("estimate", "adding it up", "workflow.estimate.forecast"),
    Step("train", "reading and preparing the data", "workflow.training_job.prepare_data"),
    Step("train", "estimating", "workflow.training_job.report_estimate"),
    Step("train", "loading the model", "providers.local_model.ResolvedModel.load_for_recipe"),
    Step("train", "writing the run's folder", "workflow.training_job._write_inputs"),
    Step("train", "entering it in the store", "workflow.training_job.StoreIndex.record_run"),
    Step("train", "trials of the memory plan", "engine.trainer.plan_memory"),
    Step("train", "the first validation pass", "engine.training_step.TrainingStep.validate"),
    Step("train", "a later validation pass", "engine.training_step.TrainingStep.validate", 2),
    Step("train", "answers of a look", "providers.local_completer.LocalCompleter.complete"),
    Step("train", "scoring a look", "training.training_callbacks.compute_primary_scores"),
    Step(
        "train", "a step of 1 s", "engine.training_step.TrainingStep.backward", 4, is_finished=True
    ),
    Step(
        "train",
        "saving a checkpoint, 1 s",
        "engine.checkpoint.Checkpoints.save",
        3,
        is_finished=True,
    ),
    Step("decide", "reading and preparing the data", "workflow.decision_inputs.prepare_data"),
    Step("decide", "choosing a scorer", "contenders.custom_parts.choose_scorer"),
    Step("decide", "estimating", "workflow.decide.report_estimate"),
    Step("decide", "building the search index", "workflow.decide.write_index"),
    Step("decide", "choosing: scoring", "contenders.candidate_selection.compute_primary_scores"),
    Step("decide", "asking a baseline", "contenders.evaluation_runner.collect_answers"),
    Step("decide", "scoring a baseline", "evaluation.harness.score_answers"),
    Step("decide", "timing single requests", "contenders.evaluation_runner.measure_latency"),
    Step("decide", "writing answers", "runs.run_folder.RunFolder.write_answers"),
    Step("decide", "general ability", "workflow.decide.measure_general_ability"),
    Step(
        "decide", "a step of 1 s", "engine.training_step.TrainingStep.backward", 4, is_finished=True
    ),
    Step("decide", "evaluating the tuned model", "workflow.decide.build_tuned_model"),
    Step("decide", "comparing and explaining", "workflow.decide.conclude"),
    Step("decide", "writing the report", "workflow.conclusion.write_report"),
    Step("resume", "reading what it began with", "workflow.resume.read_training_data"),
    Step("resume", "loading the model", "providers.local_model.ResolvedModel.load_for_recipe"),
    Step("resume", "the newest checkpoint", "workflow.resume._load_latest_checkpoint"),
    Step(
        "resume", "a step of 1 s", "engine.training_step.TrainingStep.backward", 2, is_finished=True
    ),
    Step("evaluate", "reading and checking the data", "workflow.evaluation_inputs.read_examples"),
    Step("evaluate", "reaching the judge", "workflow.evaluation_inputs.open_qualified_judge"),
    Step("evaluate", "asking", "providers.local_completer.LocalCompleter.complete"),
    Step("evaluate", "scoring", "evaluation.harness.score_answers"),
    Step("evaluate", "statistics", "workflow.model_evaluation.evaluate_answers"),
    Step("export", "merging", "engine.adapters.merge.export_merged"),
    Step("export", "writing the bundle", "export.bundle.write_bundle"),
    Step("export", "the bundle's own answers", "export.bundle._run_bundle"),
    Step("export", "entering it in the store", "workflow.export.build_artifact"),
)


class Stopped(NamedTuple):
    """Seconds from the signal to the first line and to the end, the exit code, the last line."""

    answered: float | None
    ended: float
    code: int
    last_line: str


def stop_in(step: Step, words: list[str], *, is_foreign: bool) -> Stopped:
    """Run the command in a fork, send SIGINT when it is in the step, and look. Errors:
    RuntimeError."""
    at, reached = os.pipe()
    said, saying = os.pipe()
    pid = os.fork()
    if pid == 0:
        _run_and_stand(step, words, reached, saying, is_foreign=is_foreign)
    os.close(reached)
    os.close(saying)
    try:
        before = _read_until(at, said)
        if before is not None:
            raise RuntimeError(f"{step.command}: {step.what} was not reached: {before[-300:]}")
        time.sleep(INSIDE_SECONDS)
        began = time.monotonic()
        os.kill(pid, signal.SIGINT)
        answered, text = None, b""
        while piece := os.read(said, 2**16):
            answered = answered or time.monotonic() - began
            text += piece
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(at)
        os.close(said)
    lines = text.decode(errors="replace").split("\n")
    return Stopped(
        answered, time.monotonic() - began, code, next(filter(None, reversed(lines)), "")
    )


def _read_until(at: int, said: int) -> str | None:
    """None once the step is reached; what the command said where it ended before."""
    text = b""
    while ready := select.select([at, said], [], [], REACHED_SECONDS)[0]:
        if at in ready:
            is_reached = bool(os.read(at, 1))
            while select.select([said], [], [], 0)[0] and (piece := os.read(said, 2**16)):
                text += piece
            return None if is_reached else text.decode(errors="replace")
        text += os.read(said, 2**16)
    return "it took too long"


def _run_and_stand(
    step: Step, words: list[str], reached: int, saying: int, *, is_foreign: bool
) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(saying, 2)
    os.close(saying)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    torch.set_num_threads(1)
    place, name = _place_of(step.function)
    real, calls = getattr(place, name), 0

    def stand(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == step.nth:
            os.write(reached, b"x")
            if step.is_finished:
                time.sleep(FINISHED_SECONDS)
            elif is_foreign:
                hashlib.pbkdf2_hmac(
                    "sha256", b"", b"", 2**31 - 1
                )  # half an hour; no handler runs meanwhile
            else:
                time.sleep(LONG_SECONDS)
        return real(*given, **named)

    setattr(place, name, stand)
    code = 99
    try:
        install_signal_handlers()
        code = run(words)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _place_of(function: str) -> tuple[Any, str]:
    """What holds the function, and its name there: a module, or a class in one."""
    *parts, name = f"tunesmith.{function}".split(".")
    is_class = parts[-1][0].isupper()
    module = importlib.import_module(".".join(parts[:-1] if is_class else parts))
    return (getattr(module, parts[-1]) if is_class else module), name


class Stand:
    """The commands, each in a folder of its own; the runs that `resume` and `export` begin with are
    made once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._runs: dict[str, Path] = {}

    def words(self, command: str, out: Path) -> list[str]:
        """The command line whose result goes to `out`."""
        world = self.world
        if command == "check":
            return ["check", str(world.data), "--model", str(world.model)]
        if command == "estimate":
            return ["estimate", str(world.data), *world.words]
        if command == "resume":
            cut = self._made("cut", fault="train.step:6:kill9")
            shutil.copytree(cut, out / cut.name)
            return ["resume", str(out / cut.name)]
        if command == "export":
            out.mkdir()
            return [
                *world.command("export", out, self._made("decided", "decide")),
                "--contender",
                "tuned",
            ]
        return world.command(command, out)

    def _made(self, name: str, command: str = "train", fault: str | None = None) -> Path:
        if name not in self._runs:
            self.world.call(self.world.command(command, self.world.place / name), fault=fault)
            (self._runs[name],) = visible_in(self.world.place / name)
        return self._runs[name]

    def problems(self, command: str, out: Path) -> list[str]:
        """What is wrong with what was left."""
        found = []
        if command in ("train", "decide", "resume", "evaluate"):
            for folder in visible_in(out):
                resumed = self.world.call(["resume", str(folder)])
                found += (
                    [f"resume ended with {resumed.code}: {resumed.text[-200:]}"]
                    if resumed.code
                    else []
                )
        return found


def main() -> int:
    """Stop in each step and tell; the exit code says whether each ended with 130 and could go
    on."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--commands", default=",".join(dict.fromkeys(step.command for step in STEPS))
    )
    parser.add_argument("--foreign", action="store_true", help="inside one call of foreign code")
    given = parser.parse_args()
    print(
        "| command | step | s to the line | s to the end | code | last line"
        " |\n|---|---|---:|---:|---:|---|",
        flush=True,
    )
    is_well = True
    with tempfile.TemporaryDirectory() as name:
        stand = Stand(World(Path(name).resolve()))
        for number, step in enumerate(STEPS):
            if step.command not in given.commands.split(","):
                continue
            out = stand.world.place / f"out-{number}"
            found = stop_in(step, stand.words(step.command, out), is_foreign=given.foreign)
            left = (
                [] if given.foreign else [f"left {name}" for name in leftovers_in(out)]
            )  # the next command removes it
            problems = [*left, *stand.problems(step.command, out)]
            is_well = is_well and found.code == 130 and not problems
            last = "; ".join([found.last_line.replace(str(out), "OUT"), *problems])
            line = "-" if found.answered is None else f"{found.answered:.2f}"
            print(
                f"| {step.command} | {step.what} | {line} | {found.ended:.2f} | {found.code} |"
                f" {last} |",
                flush=True,
            )
    return int(not is_well)


if __name__ == "__main__":
    sys.exit(main())
