"""From a run's records to a report. Entry point: `write_report(folder, ReportInput)` in
`report_writer.py`.
"""

from tunesmith.report.report_data import build_report_json
from tunesmith.report.report_input import ReportInput
from tunesmith.report.report_writer import write_report

__all__ = ["ReportInput", "build_report_json", "write_report"]
