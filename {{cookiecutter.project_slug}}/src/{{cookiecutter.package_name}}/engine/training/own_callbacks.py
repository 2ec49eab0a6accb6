"""Which callbacks are the user's own, and what they do."""

from __future__ import annotations

from pytorch_lightning import Callback

OURS = f"{__package__}."


def is_users(callback: Callback) -> bool:
    """Whether it is neither one of this folder nor one of Lightning's."""
    return not type(callback).__module__.startswith((OURS, "pytorch_lightning."))


def has_hook(callback: Callback, *names: str) -> bool:
    """Whether its class has one of these hooks besides the empty ones of `Callback`."""
    return any(getattr(type(callback), name) is not getattr(Callback, name) for name in names)
