"""Material -> run: the adapter, its metrics and its samples in the run's folder, and the run in the store."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tunesmith.data.prepare import show_mask
from tunesmith.errors import Interrupted
from tunesmith.evaluation.scorers.choose import choose_scorer
from tunesmith.files import sha256_of
from tunesmith.providers.local_model import LocalModel
from tunesmith.records import MetricLine, Recipe, Run, RunStatus, TrainingResult, fingerprint_of
from tunesmith.runs.environment import machine, versions
from tunesmith.runs.folder import RunFolder, Sample
from tunesmith.runs.stop import Stop, stop_on_signals
from tunesmith.store.entries import Artifact
from tunesmith.store.store import Store
from tunesmith.workflow.listener import SILENT, Listener
from tunesmith.workflow.material import Material, gather


def train(recipe: Recipe, out: Path = Path("runs"), listener: Listener = SILENT) -> tuple[Run, RunFolder]:
    """Tune only. Ctrl-C ends after the current step; the run's status says so, and its adapter can be used.

    Errors: `InputError`, `GateFailed` when the data has errors, `TrainingError` when training cannot go on;
    `Interrupted` after Ctrl-C, which says what was kept.
    """
    material = gather(recipe, listener)
    with Store.open() as store:  # nothing is written before the store and the model are open
        model = material.model.load(recipe.training.precision, recipe.evaluation.batch_size)
        with open_run(material, out, model, store) as (run, folder), stop_on_signals() as stop:
            run = tune(run, material, folder, model, store, listener, stop)
    if run.status == "interrupted":
        raise interrupted(folder)
    return run, folder


@contextmanager
def open_run(material: Material, out: Path, model: LocalModel, store: Store) -> Iterator[tuple[Run, RunFolder]]:
    """A run's locked folder with everything that is known before training, and the run in the store.

    When the block is left before the training ended, the run's status says how.
    """
    folder = RunFolder.create(out, material.check.dataset.name)
    with folder.lock():
        run = _new_run(material, folder, model)
        _write_known(material, folder)
        folder.write(run)
        store.add_dataset(material.check.dataset)
        store.add_run(run, folder.path)
        try:
            yield run, folder
        except BaseException as error:
            if folder.read(Run).status == "running":
                _finish(run, folder, store, "interrupted" if is_interruption(error) else "failed", None)
            raise


def is_interruption(error: BaseException) -> bool:
    """Whether somebody asked to stop, as against something going wrong."""
    return isinstance(error, Interrupted | KeyboardInterrupt)


def _write_known(material: Material, folder: RunFolder) -> None:
    folder.write_recipe(material.recipe)
    folder.write_versions(versions())
    folder.write(material.check)
    folder.write(material.split)
    folder.write_prepared(material.prepared)
    folder.write_mask(show_mask(material.proof))


def tune(
    run: Run, material: Material, folder: RunFolder, model: LocalModel, store: Store, listener: Listener, stop: Stop
) -> Run:
    """Train an adapter on the model in memory; afterwards it carries the best one."""
    from tunesmith.engine.train import train_adapter  # torch: not on the way of anything that needs no model

    listener.stage("tuning")
    lines = _Lines(folder, listener, material.recipe)
    result = train_adapter(
        model.loaded,
        material.arrays["train"],
        material.arrays["validation"],
        material.recipe,
        adapter_folder=folder.adapter,
        on_line=lines,
        score=_generation_score(material, folder, model, lines),
        stop=stop.asked,
    )
    return _finish(run, folder, store, result.status, result)


def _new_run(material: Material, folder: RunFolder, model: LocalModel) -> Run:
    return Run(
        id=folder.id,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        status="running",
        recipe=material.recipe.fingerprint,
        dataset=material.check.dataset.fingerprint,
        split=material.split.fingerprint,
        prepared={name: prepared.fingerprint for name, prepared in material.prepared.items()},
        model=material.model.identity,
        machine=machine(model.accelerator),
        versions=versions(),
        seeds={"recipe": material.recipe.seed},
    )


def _finish(run: Run, folder: RunFolder, store: Store, status: RunStatus, result: TrainingResult | None) -> Run:
    files = {path.name: sha256_of(path) for path in sorted(folder.adapter.glob("*"))}
    finished = run.model_copy(update={"status": status, "result": result, "adapter_files": files})
    folder.write(finished)
    store.update_run(finished)
    if files:
        store.add_artifact(artifact_of("adapter", folder.adapter, run.id))
    return finished


def interrupted(folder: RunFolder | None) -> Interrupted:
    """Says what an interrupted command leaves behind."""
    if folder is None:
        return Interrupted("stopped", "Stopped as you asked; nothing was written.", do="run the command again")
    has_adapter = (folder.adapter / "adapter_model.safetensors").exists()
    answered = ", ".join(folder.contenders())
    kept = " and ".join(
        [
            *(["the adapter and the metrics"] if has_adapter else []),
            *([f"the answers of {answered}"] if answered else []),
        ]
    )
    do = f"tunesmith chat {folder.path}, or run the command again" if has_adapter else "run the command again"
    return Interrupted(
        "stopped",
        "Stopped as you asked.",
        where=str(folder.path),
        found=f"kept {kept or 'the checked data and the recipe'}",
        do=do,
    )


def artifact_of(kind: str, path: Path, run: str) -> Artifact:
    """A file, or a folder by the list of its files, as the store knows it."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    hashes = {file.relative_to(path).as_posix(): sha256_of(file) for file in files}
    sha256 = fingerprint_of(hashes) if path.is_dir() else next(iter(hashes.values()))
    size = sum(file.stat().st_size for file in files)
    return Artifact(kind=kind, path=str(path.absolute()), sha256=sha256, size_bytes=size, run=run)


class _Lines:
    """Keeps every metric line and shows the training's progress, rate and loss."""

    def __init__(self, folder: RunFolder, listener: Listener, recipe: Recipe) -> None:
        self.folder, self.listener, self.recipe = folder, listener, recipe
        self.step = 0

    def __call__(self, line: MetricLine) -> None:
        self.step = line.step
        self.folder.append_metric(line)
        if line.kind == "validation":
            score = f", {line.score_name} {line.score:.3f}" if line.score is not None else ""
            self.listener.note(f"step {line.step}: held-out loss {line.loss:.4f}{score}")
            return
        training = self.recipe.training
        rate = (line.tokens_read or 0) / max(line.seconds, 1e-9)
        if training.minutes is not None:
            done, total = min(line.seconds, training.minutes * 60), training.minutes * 60
        else:
            done, total = line.epoch, training.epochs or line.epoch
        self.listener.progress("tuning", done, total, f"step {line.step}  loss {line.loss:.3f}  {rate:,.0f} tokens/s")


def _generation_score(
    material: Material, folder: RunFolder, model: LocalModel, lines: _Lines
) -> Callable[[], tuple[str, float]] | None:
    """Generates answers to the validation examples and scores them; every answer is kept as a sample."""
    examples = [example for example in material.validation if example.messages]
    if not examples:
        return None
    references = [example.answer for example in material.train]
    scorer, _ = choose_scorer(references, material.recipe.evaluation.scorer)
    completer = model.completer(material.recipe.evaluation.max_new_tokens or 1)

    def score() -> tuple[str, float]:
        values: list[float] = []
        for example, completion in zip(examples, completer.complete([e.prompt for e in examples]), strict=True):
            value = None if completion.error else scorer.score(completion.text, example.answer)[scorer.metric]
            values += [] if value is None else [value]
            folder.append_sample(
                Sample(step=lines.step, example=example.id, question=example.question, expected=example.answer,
                       answer=completion.text, score=value)
            )  # fmt: skip
        if len(values) < len(examples):
            lines.listener.note(
                f"{len(examples) - len(values):,} of {len(examples):,} validation examples got no answer"
            )
        return scorer.metric, sum(values) / max(len(values), 1)

    return score
