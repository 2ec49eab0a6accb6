"""State that plain attributes hold, as values that load without running code, and back.

What can be stored: tensors, numbers, text, numpy arrays, random generators, containers of these,
objects with `state_dict` and `load_state_dict`, and objects of the project's own classes. Such an
object is not made anew from a file: what it held is put into the one that is there.
"""

from __future__ import annotations

import contextlib
import random
from collections import OrderedDict, deque
from collections.abc import Iterable
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

PLAIN = {type(None), bool, int, float, str}
LARGE = 2**20  # bytes of a tensor that is not copied to tell later whether it has changed
BUILTIN = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "dict": dict}
OTHERS = {"deque": deque, "OrderedDict": OrderedDict}
Encoded = Any  # None, a bool, number or text as it is; all else as [kind, content, ...]


class UnstorableError(TypeError):
    """A value that is no state, or of a kind that cannot be stored or put back."""


class Encoder:
    """Makes plain values of state.

    Args:
        copies: tensors are kept as they are now, to compare with later, and not as references.
        excluded: objects whose state is stored elsewhere.
    """

    def __init__(self, copies: bool = False, excluded: Iterable[object] = ()):
        self.copies = copies
        self.excluded = {id(item) for item in excluded}
        # The same list in two attributes stays one list: pickle keeps the identity of lists.
        self.made: dict[int, tuple[object, Encoded]] = {}
        self.open: set[int] = set()

    def __call__(self, value: Any) -> Encoded:
        """The value encoded.

        Raises:
            UnstorableError: it is of another kind, or holds itself.
        """
        if type(value) in PLAIN:
            return value
        if id(value) in self.made:
            return self.made[id(value)][1]
        if id(value) in self.open | self.excluded:
            raise UnstorableError(type(value).__name__)
        self.open.add(id(value))
        try:
            encoded = self._encode(value)
        finally:
            self.open.discard(id(value))
        self.made[id(value)] = (value, encoded)  # with the value, so that its id stays its own
        return encoded

    def _encode(self, value: Any) -> Encoded:
        name = type(value).__name__
        if isinstance(value, Tensor):
            if value.layout is not torch.strided or value.is_meta:
                raise UnstorableError(name)
            return ["tensor", self._tensor(value), value.device.type == "cpu"]
        if isinstance(value, (np.ndarray, np.generic)):
            if value.dtype.kind not in "biufc":
                raise UnstorableError(name)
            array = np.array(value)  # a copy, contiguous
            return ["numpy", torch.from_numpy(array), isinstance(value, np.generic)]
        if isinstance(value, torch.Generator):
            return ["generator", value.get_state()]
        if isinstance(value, np.random.Generator):
            return ["numpy generator", self(value.bit_generator.state)]
        if isinstance(value, random.Random):
            return ["python generator", self(value.getstate())]
        if isinstance(value, (list, tuple, set, frozenset, deque)):
            return ["items", name, [v if type(v) in PLAIN else self(v) for v in value]]
        if isinstance(value, dict):
            return ["dict", name, [[self(key), self(item)] for key, item in value.items()]]
        if isinstance(value, nn.Module):  # in a list, say, where `state_dict` does not see it
            return ["module", name, self(dict(value.state_dict(keep_vars=True)))]
        if callable(getattr(value, "load_state_dict", None)) and hasattr(value, "state_dict"):
            return ["stateful", name, self(value.state_dict())]
        if isinstance(value, Enum):
            return ["enum", name, value.name]
        if _is_own(value):
            return ["object", name, self._attributes(vars(value))]
        raise UnstorableError(name)

    def _attributes(self, values: dict[str, Any]) -> Encoded:
        """Those attributes of an object that can be stored."""
        pairs = []
        for key, value in values.items():
            with contextlib.suppress(UnstorableError):
                pairs.append([key, self(value)])
        return ["dict", "dict", pairs]

    def _tensor(self, value: Tensor) -> Any:
        if self.copies:
            return _Seen(value)
        value = value.detach()
        # A view would be stored with all of the tensor that it is a part of.
        is_part = value.untyped_storage().nbytes() > value.nbytes
        return value.clone() if is_part or value.is_inference() else value


class _Seen:
    """A tensor as it was, to tell whether it has changed since; large ones are not copied.

    A change of a large one by `tensor.data` is not seen: it does not count as one for torch.
    """

    def __init__(self, tensor: Tensor):
        is_large = tensor.nbytes > LARGE and not tensor.is_inference()
        # Held: its memory is given to no other tensor, whose address could be the same.
        self.tensor = tensor.detach() if is_large else tensor.detach().clone()
        self.version = tensor._version if is_large else None

    def is_same(self, now: Tensor) -> bool:
        then = self.tensor
        if (then.shape, then.dtype) != (now.shape, now.dtype):
            return False
        if self.version is not None:
            return then.data_ptr() == now.data_ptr() and now._version == self.version
        return then.device == now.device and torch.equal(then, now)


def same(then: Encoded, now: Encoded) -> bool:
    """Whether a value is what it was when an encoder with `copies` looked at it."""
    if isinstance(then, _Seen):
        return isinstance(now, Tensor) and then.is_same(now)
    if type(then) is not type(now):
        return False
    if isinstance(then, list):
        return len(then) == len(now) and all(map(same, then, now))
    if isinstance(then, Tensor):  # of numpy, or a generator's
        return torch.equal(then, now)
    return bool(then == now)


def copied(encoded: Encoded) -> Encoded:
    """The same with tensors of its own."""
    if isinstance(encoded, list):
        return [copied(item) for item in encoded]
    return encoded.clone() if isinstance(encoded, Tensor) else encoded


def _is_own(value: object) -> bool:
    """Whether it is an object of a class of this project that may hold state."""
    package = __name__.removesuffix(".engine.training.state_codec")
    module = type(value).__module__
    is_of_package = module == package or module.startswith(f"{package}.")
    return is_of_package and hasattr(value, "__dict__") and not isinstance(value, (Dataset, type))


class Decoder:
    """Makes state of what an `Encoder` has made.

    Args:
        device: for tensors that were on the model's, wherever that is now.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.made: dict[int, Any] = {}

    def __call__(self, encoded: Encoded, present: Any = None) -> Any:
        """The value that is to stand where `present` stands now.

        Raises:
            UnstorableError: no object is there that could take the state.
        """
        if not isinstance(encoded, list):
            return encoded
        if id(encoded) not in self.made:
            self.made[id(encoded)] = self._decode(encoded, present)
        return self.made[id(encoded)]

    def _decode(self, encoded: Encoded, present: Any) -> Any:
        kind, content, *more = encoded
        if kind == "tensor":
            return self._tensor(content, is_on_cpu=more[0], present=present)
        if kind == "numpy":
            array = content.cpu().numpy()
            return array[()] if more[0] else array.copy()
        if kind == "items":
            return self._items(content, more[0], present)
        if kind == "dict":
            return self._dict(content, more[0], present)
        return self._put_into(present, kind, encoded)

    def _tensor(self, value: Tensor, is_on_cpu: bool, present: Any) -> Tensor:
        with torch.no_grad():
            if isinstance(present, Tensor) and present.is_leaf and present.requires_grad:
                present.copy_(value)  # which an optimizer knows: the same tensor
                return present
        return value.clone() if is_on_cpu else value.to(self.device, copy=True)

    def _items(self, name: str, items: list[Encoded], present: Any) -> Any:
        there: Any = present if isinstance(present, (list, tuple, deque)) else ()
        held = [*there, *[None] * len(items)]
        values = [self(item, now) for item, now in zip(items, held)]
        if name in BUILTIN:
            return BUILTIN[name](values)
        if type(present).__name__ == name:
            if isinstance(present, (tuple, frozenset)):
                is_named = hasattr(present, "_fields")
                return type(present)(*values) if is_named else type(present)(values)
            present.clear()
            (present.extend if isinstance(present, (list, deque)) else present.update)(values)
            return present
        if name in OTHERS:
            return OTHERS[name](values)
        raise UnstorableError(name)

    def _dict(self, name: str, pairs: list[list[Encoded]], present: Any) -> Any:
        there = present if isinstance(present, dict) else {}
        values = {}
        for encoded_key, item in pairs:
            key = self(encoded_key)
            values[key] = self(item, there.get(key))
        if name in BUILTIN:
            return values
        if type(present).__name__ == name:
            present.clear()
            present.update(values)
            return present
        if name in OTHERS:
            return OTHERS[name](values)
        raise UnstorableError(name)

    def _put_into(self, present: Any, kind: str, encoded: Encoded) -> Any:
        """Gives an object that is there the state of the one that was."""
        if kind == "generator" and isinstance(present, torch.Generator):
            present.set_state(encoded[1].cpu())
        elif kind == "numpy generator" and isinstance(present, np.random.Generator):
            present.bit_generator.state = self(encoded[1])
        elif kind == "python generator" and isinstance(present, random.Random):
            present.setstate(self(encoded[1]))
        elif kind == "enum" and type(present).__name__ == encoded[1]:
            return type(present)[encoded[2]]
        elif kind in ("module", "stateful", "object") and type(present).__name__ == encoded[1]:
            if kind == "object":
                vars(present).update(self(encoded[2], vars(present)))
            else:
                present.load_state_dict(self(encoded[2]))
        else:
            raise UnstorableError(encoded[1] if isinstance(encoded[1], str) else kind)
        return present
