"""Reading: one module a file format, one module for the shapes of a row. The door is `read_dataset`."""

from tunesmith.data.read.dataset import Loaded, Part, read_dataset

__all__ = ["Loaded", "Part", "read_dataset"]
