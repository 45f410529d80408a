"""Entry point: parses the command line, runs one command, turns errors into one message and an exit
code.

Exit codes: 0 done, 1 the answer is no (a check or gate failed, or training could not continue), 2
wrong usage or bad input, 3 provider error, 70 a defect of tunesmith, 130
interrupted by Ctrl-C, 143 by SIGTERM.
"""

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, TextIO

import typer

from tunesmith.cli import (
    chat,
    check,
    compare,
    decide,
    demo,
    estimate,
    evaluate,
    export,
    init,
    keys,
    models,
    prices,
    report,
    resume,
    runs,
    train,
)
from tunesmith.cli.command_help import Command, takes_recipe_flags
from tunesmith.cli.console import print_error
from tunesmith.cli.recipe_flags import expand_recipe_flags, suggest_flag
from tunesmith.errors import InputError, Interrupted, TunesmithError, UsageError
from tunesmith.runs.signals import (
    describe_saved_work,
    exit_immediately,
    get_stop_exit_code,
    install_signal_handlers,
)

app = typer.Typer(
    name="tunesmith",
    epilog=(
        "Start with: tunesmith demo. Every command has --json and --help; --debug shows the "
        "traceback of an error. tunesmith keys lists the recipe keys, which are also flags of "
        "decide, estimate, train and evaluate."
    ),
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"tunesmith {version('tunesmith')}")
        except PackageNotFoundError:
            print("tunesmith (run from source, not installed)")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Should I prompt, retrieve or fine-tune? A measured answer, the tuned model, and the proof
    that it is better."""


COMMANDS = (
    demo.demo,
    check.check,
    decide.decide,
    estimate.estimate,
    train.train,
    resume.resume,
    report.report,
    evaluate.evaluate,
    chat.chat,
    compare.compare,
    export.export,
    prices.prices,
    init.init,
)
COMMAND_NAMES: dict[Callable[..., None], str] = {
    runs.list_runs: "runs",
    runs.show_run: "show",
    models.list_models: "models",
    keys.list_keys: "keys",
}
RECIPE_COMMANDS = "check, decide, estimate, evaluate and train"
ALL_COMMANDS: tuple[Callable[..., None], ...] = (*COMMANDS, *COMMAND_NAMES)
for command in ALL_COMMANDS:
    # The whole first sentence of its help: typer would truncate it at the width of the terminal.
    summary = " ".join((command.__doc__ or "").split("\n\n")[0].split()).partition(". ")[0]
    app.command(COMMAND_NAMES.get(command), cls=Command, short_help=f"{summary.rstrip('.')}.")(
        command
    )


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    words = list(arguments)
    debug = "--debug" in words
    # Removed before typer parses, so that it works at any position of every command.
    words = [word for word in words if word != "--debug"]
    as_json = "--json" in words
    warnings.showwarning = _print_warning
    try:
        result = app(
            _spell_out_recipe_flags(words) or ["--help"],
            prog_name="tunesmith",
            standalone_mode=False,
        )
        sys.stdout.flush()
        if result == Interrupted.exit_code:  # typer turns a KeyboardInterrupt into this code
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except TunesmithError as error:
        return _fail(error, error.exit_code, as_json, debug)
    except typer.TyperException as error:
        usage = _build_usage_error(error)
        return _fail(usage, usage.exit_code, as_json, debug)
    except (KeyboardInterrupt, typer.Abort):
        stopped = Interrupted(f"Interrupted. {describe_saved_work()}")
        return _fail(stopped, get_stop_exit_code(), as_json, debug)
    # the reader of a pipe (head, less) has gone; typer leaves by SystemExit
    except (BrokenPipeError, SystemExit):
        _redirect_stdout()
        return 0
    except OSError as error:
        refused = _build_machine_error(error)
        return _fail(refused, refused.exit_code, as_json, debug)
    except Exception as error:  # outermost boundary: a defect of ours must not look like an answer
        if debug:
            traceback.print_exc()
        defect = TunesmithError(
            "defect",
            "internal error in tunesmith",
            got=f"{type(error).__name__}: {error}",
            hint="; ".join(
                ["rerun the command with --debug and report the output", *_get_notes(error)]
            ),
        )
        return _fail(defect, 70, as_json, debug=False)


def _print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Old recipe keys concern the user and get a line of their own; others are ours to see."""
    place = "" if issubclass(category, FutureWarning) else f"{filename}:{lineno}: "
    print(f"warning: {place}{message}", file=sys.stderr)


def _get_notes(error: BaseException) -> list[str]:
    """Notes that stages added to an error: the command to resume."""
    return list(getattr(error, "__notes__", ()))


def _spell_out_recipe_flags(words: list[str]) -> list[str]:
    """The command line with recipe flags expanded, if the command accepts a recipe."""
    commands = getattr(typer.main.get_command(app), "commands", {})
    declared = (
        {flag for one in getattr(commands.get(words[0]), "params", ()) for flag in one.opts}
        if words
        else set()
    )
    return (
        expand_recipe_flags(words, declared | {"--help"}) if takes_recipe_flags(declared) else words
    )


def _build_machine_error(error: OSError) -> InputError:
    """The error for a file operation that the operating system refused, wherever in the program."""
    return InputError(
        "machine",
        "cannot read or write a file",
        at=str(error.filename or ""),
        got=error.strerror or str(error) or type(error).__name__,
        hint="free up disk space or fix the permissions; or set TUNESMITH_HOME or --out to another "
        "location",
    )


def _build_usage_error(error: typer.TyperException) -> UsageError:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "tunesmith"
    flag = getattr(error, "option_name", None)
    declared = {name for one in context.command.params for name in one.opts} if context else set()
    if flag is not None and context is not None and flag not in declared:
        is_for_recipes = takes_recipe_flags(declared)
        advice = suggest_flag(flag, declared, with_keys=is_for_recipes)
        if not advice and not is_for_recipes and (ours := suggest_flag(flag, ())):
            meant = "" if f"{flag}?" in ours else f"{ours} "
            advice = f"{meant}{RECIPE_COMMANDS} take recipe keys as flags"
        hint = advice or f"see {command} --help"
        return UsageError("arguments", f"unknown flag {flag}", hint=hint)
    return UsageError(
        "arguments",
        message.rstrip("."),
        hint=f"see {command} --help",
    )


def _fail(error: TunesmithError, exit_code: int, as_json: bool, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    try:
        print_error(error, as_json=as_json)
        sys.stdout.flush()
    except OSError:  # standard output failed; the message is on standard error
        _redirect_stdout()
    return exit_code


def _redirect_stdout() -> None:
    """Discard what is still buffered, so that Python's own flush at exit does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """The `tunesmith` program."""
    # torch's OpenMP threads wait by spinning; on a machine with other load, spinning less was 1.7
    # times faster in one trial (docs/lab/2026-11-23-foundation-measured.md). It must be set before
    # torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    install_signal_handlers()
    code = run(sys.argv[1:])
    if code in (130, 143):
        exit_immediately(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
