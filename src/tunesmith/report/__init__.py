"""From everything a run left to a report: `write_report(folder, ReportInput)` in `write.py` is the door."""

from tunesmith.report.report_data import build_report_json
from tunesmith.report.report_input import ReportInput
from tunesmith.report.report_writer import write_report

__all__ = ["ReportInput", "build_report_json", "write_report"]
