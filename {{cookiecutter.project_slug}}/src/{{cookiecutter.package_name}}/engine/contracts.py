"""What a dataset and an evaluator promise; `datasets/` and `evaluators/` hand these classes on.

A model promises what Lightning's LightningModule does, a callback what Lightning's Callback does.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate


class SplitDataset(Dataset[Any], ABC):
    """One split of a data set; the first argument of `__init__` is "train", "val" or "test".

    A subclass defines `__len__`, and `__getitem__(index)` or `__getitems__(indices)`; the latter
    reads a whole batch at once, several times faster than items. Validation is carved out of the
    official training split; the official test split is for `evaluate` alone. An attribute with the
    name of an argument that the model requires (`num_classes`, `input_shape`, ...) reaches the
    model without being configured.
    """

    @classmethod
    def prepare(cls) -> dict[str, Any]:
        """Fetches or checks the data; called before the first split is made.

        A subclass takes those arguments of its `__init__` that it needs, by the same names.

        Returns:
            Arguments that are resolved by now (`source="auto"` has become "full", say); they
            replace the configured ones, and are recorded.
        """
        return {}

    @abstractmethod
    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any:
        """One example: the only one of a batch that `__getitems__` reads."""
        return _first(self.__getitems__([index]))  # type: ignore[attr-defined]

    def collate_fn(self, examples: Any) -> Any:
        """Makes a batch of what the loader has read, as torch's DataLoader calls it.

        Args:
            examples: a list of examples; a batch if there is a `__getitems__`, and then it stays.
        """
        return examples if hasattr(self, "__getitems__") else default_collate(examples)

    def files(self) -> list[Path]:
        """The files that this split is read from; a run keeps their hashes."""
        return []

    def describe(self) -> dict[str, Any]:
        """What the run's record says of the data, as plain values."""
        return {"examples": len(self)}


class Evaluator(ABC):
    """Turns a trained model and a test split into numbers, and into files if it likes.

    What `evaluate` needs of a model or dataset beyond the base classes, it says by annotating that
    argument with a `typing.Protocol`: what is missing is named before anything is evaluated.

    Attributes:
        folder: where its files go; set by the runner before `evaluate` is called.
        per_example: metric -> one number for each test example, whose mean is the metric. With
            it, `evaluate compare` can tell a difference between two models from chance.
        tables: name of a file -> rows; `add_table` fills it.
        figures: name of a file -> function that returns a figure; `add_figure` fills it.
    """

    # Read-only defaults: a subclass need not call an `__init__` of this class.
    folder: Path
    per_example: Mapping[str, Sequence[float]] = MappingProxyType({})
    tables: Mapping[str, list[Sequence[Any]]] = MappingProxyType({})
    figures: Mapping[str, Callable[[], Any]] = MappingProxyType({})

    @abstractmethod
    def evaluate(self, model: Any, dataset: Any) -> dict[str, float]:
        """Measures `model`, which is in eval mode, in inference mode and on its device."""

    def batches(self, model: Any, dataset: Any, batch_size: int) -> Iterator[Any]:
        """The split's batches in order, on the model's device."""
        for batch in DataLoader(dataset, batch_size, collate_fn=dataset.collate_fn):
            yield model.transfer_batch_to_device(batch, model.device, 0)

    def predictions(self, model: Any, dataset: Any, batch_size: int) -> tuple[Tensor, Tensor]:
        """Outputs and targets of all examples on the CPU, for batches of (inputs, targets)."""
        pairs = [
            (model(inputs).cpu(), targets.cpu())
            for inputs, targets in self.batches(model, dataset, batch_size)
        ]
        outputs, targets = (torch.cat(part) for part in zip(*pairs, strict=True))
        return outputs, targets

    def add_table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Hands over a table; the runner writes it as CSV, with `columns` as its first row."""
        self.tables = {**self.tables, name: [columns, *rows]}

    def add_figure(self, name: str, draw: Callable[..., Any], *args: Any) -> None:
        """Hands over a figure; the runner calls `draw(*args)` when the results are written.

        Args:
            name: of the file; its suffix is the format.
            draw: returns a figure of matplotlib. What it raises costs this figure only.
            args: of `draw`.
        """
        self.figures = {**self.figures, name: partial(draw, *args)}

    @staticmethod
    def check_sizes(**sizes: int) -> None:
        """Refuses arguments that count something and are below 1.

        Raises:
            ValueError: one of them is; it names all.
        """
        if min(sizes.values()) < 1:
            listed = ", ".join(f"{name}={value}" for name, value in sizes.items())
            each = "each" if len(sizes) > 1 else "it"
            raise ValueError(f"{listed}: {each} is at least 1")


def broken_promise(cls: type) -> str | None:
    """What a plug-in's class lacks or has in an outdated form, for a refusal; None: nothing."""
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        return f"it has no {' and no '.join(missing)}"
    if not issubclass(cls, SplitDataset):
        return None
    if cls.__getitem__ is SplitDataset.__getitem__ and not hasattr(cls, "__getitems__"):
        return "it has neither __getitem__ nor __getitems__"
    collate = cls.collate_fn
    is_method = inspect.isfunction(inspect.getattr_static(cls, "collate_fn"))
    try:
        inspect.signature(collate).bind(*([None, []] if is_method else [[]]))
    except TypeError:
        return (
            "its collate_fn makes a function, as in earlier versions: write "
            "`def collate_fn(self, examples)`, which returns the batch"
        )
    return None


def _first(batch: Any) -> Any:
    """The first example of a batch of tensors, in whatever tuples, lists and dicts they are."""
    if isinstance(batch, dict):
        return {key: _first(value) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(_first(value) for value in batch)
    return batch[0]
