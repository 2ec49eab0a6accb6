"""Assigns examples to splits by a hash of their name: adding examples never moves existing ones."""

from __future__ import annotations

import hashlib


def drawn(name: str, shares: dict[str, float]) -> str:
    """The split of an example, as a function of its name.

    Args:
        name: or whatever else stands for the example; equal ones are in one split.
        shares: split -> its share; what they sum up to is the whole.
    """
    digest = hashlib.md5(name.encode("utf-8", "replace"), usedforsecurity=False).digest()
    place = int.from_bytes(digest[:6], "big") / 2**48 * sum(shares.values())
    for split, share in shares.items():
        if place < share:
            return split
        place -= share
    return next(iter(shares))  # what rounding has left over
