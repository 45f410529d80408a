"""An export format: the prompt of a contender as one text, to be pasted where people chat."""

from pathlib import Path

from tunesmith.errors import UsageError
from tunesmith.export.exporter import ExportProof, ExportSource


def export_prompt_text(source: ExportSource, to: Path) -> ExportProof:
    """Write `prompt.txt`. Errors: `UsageError` for a contender that is more than a prompt."""
    config = source.inference_config
    if config is None or source.is_tuned or config.index:
        raise UsageError(
            "not-a-prompt",
            "This contender is more than a prompt.",
            at=source.name,
            got=config.contender if config else "an adapter",
            hint="name one with --contender, or export it with --format bundle",
        )
    parts = [text for text in (config.system, config.instruction) if text]
    for shot in config.shots:
        parts += [f"{message.role}: {message.content}" for message in shot]
    parts.append(config.template or "user: {input}")
    to.mkdir()
    (to / "prompt.txt").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return ExportProof()
