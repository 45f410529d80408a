"""Entry point of the report: three files, each written atomically."""

import json
from pathlib import Path

from tunesmith.atomic_io import write_atomically
from tunesmith.report.report_data import build_report_json
from tunesmith.report.report_input import ReportInput


def write_report(folder: Path, content: ReportInput) -> tuple[Path, Path, Path]:
    """Write `report.html`, `report.md` and `report.json` into the folder and return their paths in
    this order.
    """
    # loads jinja2 and plotly.js, which `tunesmith --help` must not wait for
    from tunesmith.report.html import render_html
    from tunesmith.report.markdown import render_markdown

    page, text, numbers = (folder / f"report.{ending}" for ending in ("html", "md", "json"))
    write_atomically(page, render_html(content))
    write_atomically(text, render_markdown(content))
    write_atomically(
        numbers, json.dumps(build_report_json(content, page), indent=2, ensure_ascii=False) + "\n"
    )
    return page, text, numbers
