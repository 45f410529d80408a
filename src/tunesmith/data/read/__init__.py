"""Read data files: one module per file format, one for the formats of a row; see `read_dataset`."""

from tunesmith.data.read.dataset_reader import LoadedDataset, SourceSpan, read_dataset

__all__ = ["LoadedDataset", "SourceSpan", "read_dataset"]
