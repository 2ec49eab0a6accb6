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

from .errors import UserError


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


class OwnBatches(ABC):
    """A split that has loaders of its own: its batches are read as these have them."""

    @abstractmethod
    def batches(self) -> Iterable[Any]:
        """The split's batches in order, on the CPU."""


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
        """The split's batches in order, on the model's device, as its hooks transfer them.

        Args:
            model: on its device.
            dataset: a split; one with loaders of its own has its own batches.
            batch_size: of the others.
        """
        if isinstance(dataset, OwnBatches):
            batches = dataset.batches()
        else:
            batches = DataLoader(dataset, batch_size, collate_fn=dataset.collate_fn)
        for batch in batches:
            yield transferred(batch, model, getattr(dataset, "data_module", None))

    def pairs(
        self, model: Any, dataset: Any, batch_size: int, needs_targets: bool = True
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets of each batch, on the model's device.

        Args:
            model: on its device.
            dataset: a split.
            batch_size: as for `batches`.
            needs_targets: else a batch is (inputs, anything ...).

        Raises:
            UserError: the batches are of another kind.
        """
        for batch in self.batches(model, dataset, batch_size):
            parts = batch if isinstance(batch, (tuple, list)) else ()
            if needs_targets:
                fits = len(parts) == 2 and all(isinstance(part, Tensor) for part in parts)
            else:
                fits = len(parts) > 1 and isinstance(parts[0], Tensor)
            if not fits:
                second = "targets), two tensors" if needs_targets else "...), the first a tensor"
                raise UserError(
                    f"evaluator_name: {type(self).__name__} takes batches of (inputs, {second}; "
                    f"those of {type(dataset).__name__} are {_kind(batch)}. "
                    "evaluator_name=TestStep runs the model's own test_step on any batch"
                )
            yield parts[0], parts[1]

    def predictions(self, model: Any, dataset: Any, batch_size: int) -> tuple[Tensor, Tensor]:
        """Outputs and targets of all examples on the CPU, for batches of (inputs, targets).

        Raises:
            UserError: batches or outputs are of another kind.
        """
        outputs, targets = [], []
        for inputs, some in self.pairs(model, dataset, batch_size):
            output = model(inputs)
            if not isinstance(output, Tensor) or output.shape[:1] != some.shape[:1]:
                raise UserError(
                    f"evaluator_name: {type(self).__name__} takes models that map a batch to one "
                    f"tensor with a row for each target; {type(model).__name__} gives "
                    f"{_kind(output)}"
                )
            outputs.append(output.cpu())
            targets.append(some.cpu())
        return torch.cat(outputs), torch.cat(targets)

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


def transferred(batch: Any, model: Any, data_module: Any = None) -> Any:
    """A batch on the model's device, by the hooks of the data module, else of the model.

    As `_DataHookSelector.get_instance` of pytorch-lightning 2.6.6 chooses between these two.
    """
    for hook in ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"):
        own = data_module is not None and is_defined_by_user(hook, type(data_module))
        move = getattr(data_module if own else model, hook)
        device = [model.device] if hook == "transfer_batch_to_device" else []
        batch = move(batch, *device, 0)
    return batch


def is_defined_by_user(name: str, cls: type) -> bool:
    """Whether a class has a method besides the default of Lightning's modules."""
    module = getattr(getattr(cls, name, None), "__module__", None)
    return module is not None and not module.startswith("pytorch_lightning.core.")


def files_of(dataset: Any) -> list[Path]:
    """The files that a dataset says it is read from: by a method, or a list of that name.

    An attribute of the user's own that is called `files` is no promise: what names no file is left
    out.
    """
    said = getattr(dataset, "files", None)
    said = said() if callable(said) else said
    if not isinstance(said, (list, tuple)):
        return []
    paths = [Path(each) for each in said if isinstance(each, (str, Path))]
    return [path for path in paths if path.is_file()]


def describe(dataset: Any) -> dict[str, Any]:
    """What the run's record says of a dataset, by its method; else how many examples it has."""
    said = getattr(dataset, "describe", None)
    said = said() if callable(said) else said
    return said if isinstance(said, dict) else {"examples": len(dataset)}


def _kind(value: object) -> str:
    """A batch or an output in words: its class, and what is in it."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with {', '.join(map(repr, value))}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {', '.join(type(v).__name__ for v in value) or 'none'}"
    return f"{type(value).__name__} objects"


def broken_promise(cls: type) -> str | None:
    """What a plug-in's class lacks or has in an outdated form, for a refusal; None: nothing."""
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        return f"it has no {' and no '.join(missing)}"
    if issubclass(cls, SplitDataset):
        return _broken_by_split(cls)
    if hasattr(cls, "training_step"):
        return _broken_by_model(cls)
    if hasattr(cls, "train_dataloader") and not is_defined_by_user("train_dataloader", cls):
        return "it has no train_dataloader"
    return None


def _broken_by_model(cls: type) -> str | None:
    for name in ("training_step", "configure_optimizers"):
        if not is_defined_by_user(name, cls):
            return f"it has no {name}"
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if is_defined_by_user(name, cls):
            return (
                f"its own {name} would be passed over: a class in datasets/, a SplitDataset or "
                "LightningDataModule, has the loaders here; move it there"
            )
    return None


def _broken_by_split(cls: type[SplitDataset]) -> str | None:
    if cls.__getitem__ is SplitDataset.__getitem__ and not hasattr(cls, "__getitems__"):
        return "it has neither __getitem__ nor __getitems__"
    if not isinstance(inspect.getattr_static(cls, "prepare"), (classmethod, staticmethod)):
        return (
            "its prepare is no classmethod, as which it is called before there is a split: write "
            "`@classmethod` above `def prepare(cls, ...)`, or rename it"
        )
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
