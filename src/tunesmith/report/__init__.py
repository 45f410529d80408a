"""From everything a run left to a report: `write_report(folder, ReportInput)` in `write.py` is the door."""

from tunesmith.report.content import ReportInput
from tunesmith.report.data import report_json
from tunesmith.report.write import write_report

__all__ = ["ReportInput", "report_json", "write_report"]
