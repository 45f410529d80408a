"""Tasks and answers in the formats of other evaluation tools. The door is `read_tool_file`; a format is one file.

What a file asks for and we cannot give is named in `unsupported`, with the places; nothing is skipped silently.
"""

from tunesmith.data.interop.imported_task import ImportedAnswers, ImportedTask
from tunesmith.data.interop.tool_formats import detect_tool, read_tool_file

__all__ = ["ImportedAnswers", "ImportedTask", "detect_tool", "read_tool_file"]
