"""What a model keeps outside its `state_dict`, stored with the rest and put back on resume.

Plain attributes of the model and of its modules (a hidden state, counters, lists), buffers that
are not persistent, `requires_grad` of its parameters, and gradients where the model decides itself
when they are zeroed. Only what has changed since the model was made is stored: all else is made
again by the constructor, with the settings of the resumed run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from lightning_fabric.utilities import move_data_to_device
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import nn
from torchmetrics import Metric, MetricCollection

from ..runs.checkpoint_file import COMPILED
from .lightning_internals import lightnings_attributes, modes_in_training
from .state_codec import Decoder, Encoded, Encoder, UnstorableError, copied, same

OF_A_MODULE = {*vars(nn.Module())} - {"training"}


class OutsideState:
    """Remembers a model as it was made, and stores what is no longer as it was.

    Args:
        trainer: whose optimizers and schedules Lightning stores itself.
        model: as made and set up, before its training begins.
    """

    def __init__(self, trainer: Trainer, model: LightningModule):
        self.trainer, self.model = trainer, model
        self.initial, _ = self._values(copies=True)

    def state(self, copies: bool = False) -> dict[str, Any]:
        """What has changed since, as plain values; of this process.

        Args:
            copies: tensors are copied, since the training goes on before this is saved.
        """
        values, unstorable = self._values(copies=False)
        absent = object()
        changed = {
            key: value
            for key, value in values.items()
            if not same(self.initial.get(key, absent), value)
        }
        return {
            "values": [[*key, copied(v) if copies else v] for key, v in changed.items()],
            "gradients": self._gradients(),
            "unstorable": unstorable,
        }

    def restore(self, state: dict[str, Any] | None) -> list[str]:
        """Puts back what `state` returned; returns what could not be put back, by name.

        Args:
            state: of a process of the same rank; None: of a run that stored none.
        """
        if state is None:
            return []
        modules = dict(_modules(self.model))
        decode, lost = Decoder(self.model.device), list(state["unstorable"])
        for place, kind, name, value in state["values"]:
            try:
                self._put(modules[place], kind, name, value, decode)
            except (UnstorableError, LookupError, AttributeError, RuntimeError, TypeError) as error:
                lost.append(f"{_dotted(place, name)} ({error})")
        parameters = dict(self.model.named_parameters())
        for name, gradient in move_data_to_device(state["gradients"], self.model.device).items():
            if name in parameters:
                parameters[name].grad = gradient
        return lost

    def _values(self, copies: bool) -> tuple[dict[tuple[str, str, str], Encoded], list[str]]:
        """(module, kind, name) -> the value encoded; and the names of iterators, which cannot be.

        Args:
            copies: as for `Encoder`.
        """
        configs = self.trainer.lr_scheduler_configs
        stored = [self.trainer, *self.trainer.optimizers, *self.model.modules()]
        stored += [config.scheduler for config in configs]
        wrapped = self.model.optimizers()  # Lightning's, each around one of these
        stored += wrapped if isinstance(wrapped, list) else [wrapped]
        encode = Encoder(copies, stored)
        values: dict[tuple[str, str, str], Encoded] = {}
        unstorable = []
        in_state_dict = {name.replace(COMPILED, "") for name in self.model.state_dict()}
        for place, module in _modules(self.model):
            for kind, name, value in _parts(module, place, in_state_dict):
                try:
                    values[place, kind, name] = encode(value)
                except UnstorableError:
                    if isinstance(value, Iterator):
                        unstorable.append(f"{_dotted(place, name)} (a {type(value).__name__})")
        for name, was_training in modes_in_training(self.trainer).items():
            key = (name.replace(COMPILED, ""), "attribute", "training")
            if key in values:
                values[key] = was_training
        return values, unstorable

    def _put(
        self, module: nn.Module, kind: str, name: str, value: Encoded, decode: Decoder
    ) -> None:
        if kind == "hparam":
            hparams = self.model.hparams
            hparams[name] = decode(value, hparams.get(name))
        elif kind == "requires_grad":
            module.get_parameter(name).requires_grad_(value)
        elif kind == "tensor":  # a buffer or parameter
            present = getattr(module, name)
            with torch.no_grad():
                new = decode(value)
                if present is not None and present.shape == new.shape:
                    present.copy_(new)
                else:
                    module.register_buffer(name, new, persistent=False)
        else:
            present = vars(module).get(name)
            vars(module)[name] = decode(value, present)

    def _gradients(self) -> dict[str, torch.Tensor]:
        """Those which the next step may add to: elsewhere Lightning zeroes them before each."""
        model = self.model
        if model.automatic_optimization and not is_overridden("optimizer_zero_grad", model):
            return {}
        parameters = model.named_parameters()
        return {name: p.grad.detach() for name, p in parameters if p.grad is not None}


def _modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a model by name, but for metrics, which are stored elsewhere."""
    for name, module in model.named_modules():
        is_compiled = isinstance(getattr(module, "_orig_mod", None), nn.Module)
        if not is_compiled and not isinstance(module, (Metric, MetricCollection)):
            yield name.replace(COMPILED, ""), module


def _parts(
    module: nn.Module, place: str, in_state_dict: set[str]
) -> Iterator[tuple[str, str, object]]:
    """Kind, name and value of each part of a module that its `state_dict` does not hold."""
    not_state = OF_A_MODULE
    if isinstance(module, LightningModule):
        not_state = not_state | lightnings_attributes()
        for name, value in module.hparams.items():
            yield "hparam", name, value
    for name, value in vars(module).items():
        if name not in not_state:
            yield "attribute", name, value
    for name, parameter in module.named_parameters(recurse=False):
        yield "requires_grad", name, parameter.requires_grad
        if _dotted(place, name) not in in_state_dict:
            yield "tensor", name, parameter
    for name, buffer in module.named_buffers(recurse=False):
        if _dotted(place, name) not in in_state_dict:
            yield "tensor", name, buffer


def _dotted(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
