"""Reading: one module a file format, one module for the shapes of a row. The door is `read_dataset`."""

from tunesmith.data.read.dataset_reader import LoadedDataset, SourceSpan, read_dataset

__all__ = ["LoadedDataset", "SourceSpan", "read_dataset"]
