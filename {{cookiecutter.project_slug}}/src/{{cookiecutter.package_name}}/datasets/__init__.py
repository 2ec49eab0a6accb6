"""One dataset a file, found by its class name: `train with dataset_name=MyDataset`."""

from ..engine.contracts import SplitDataset

__all__ = ["SplitDataset"]
