"""Everything needed to repeat the run, as tables: versions, seeds, fingerprints, machine, model
files.
"""

from tunesmith.report.report_input import ReportInput

FactTable = tuple[str, list[tuple[str, str]]]
"""(title, rows of (name, value))."""


def build_fact_tables(content: ReportInput) -> list[FactTable]:
    """Titled tables of (name, value); without a run only the data."""
    dataset, split = content.check.dataset, content.split
    tables: list[FactTable] = [
        (
            "Data",
            [
                ("content", dataset.content),
                *(
                    (f"{file.path}, {file.size_bytes:,} bytes", file.sha256)
                    for file in dataset.files
                ),
                ("split", split.fingerprint),
                ("evaluation", content.evaluation.fingerprint),
            ],
        )
    ]
    if content.run is None:
        return tables
    run, machine = content.run, content.run.machine
    model = run.trained_model
    place = f"{model.source}, revision {model.revision}" if model.revision else model.source
    hardware = [
        ("platform", machine.platform),
        ("processor", f"{machine.processor}, {machine.cores} cores"),
        ("memory", f"{machine.memory_bytes / 2**30:.1f} GiB"),
        ("accelerator", machine.accelerator or "none"),
    ]
    return [
        (
            "Run",
            [
                ("id", run.id),
                ("created", run.created),
                *((f"seed: {name}", str(n)) for name, n in run.seeds.items()),
            ],
        ),
        ("Model", [("name", f"{model.name} ({place})"), *model.files.items()]),
        *tables,
        ("Machine", hardware),
        ("Versions", list(run.versions.items())),
    ]
