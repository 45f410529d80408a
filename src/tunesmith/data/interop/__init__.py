"""Tasks and answers in the formats of other evaluation tools, one per file; see `read_tool_file`.

Unsupported features of a file are listed in `unsupported` with their places; nothing is skipped
silently.
"""

from tunesmith.data.interop.imported_content import ImportedAnswers, ImportedTask
from tunesmith.data.interop.tool_formats import detect_tool, read_tool_file

__all__ = ["ImportedAnswers", "ImportedTask", "detect_tool", "read_tool_file"]
