"""What sacred imports and Python or setuptools no longer have, lent to it while it is imported."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import pkgutil
import sys
import types
from collections.abc import Iterator
from importlib import metadata, resources
from typing import Any


def _find_loader(name: str) -> object:
    """Stands in for `pkgutil.find_loader`, which Python 3.14 no longer has.

    Relies on it: `sacred.utils.module_exists`, while `sacred.optional` is imported. Can go with a
    release that calls `importlib.util.find_spec`.
    """
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # ValueError: the module is loaded, its `__spec__` is None
        return None
    return spec and spec.loader


class _WorkingSet:
    """Stands in for `pkg_resources.working_set`: installed distributions, read when asked for.

    Relies on it: `get_dependencies_from_pkg` and `PackageDependency` of sacred/dependencies.py.
    """

    def __iter__(self) -> Iterator[Any]:
        for found in metadata.distributions():
            yield types.SimpleNamespace(project_name=found.name, version=found.version)

    @property
    def by_key(self) -> _WorkingSet:  # reading all for each would take 0.1 s of each command
        return self

    def get(self, name: str) -> Any:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return types.SimpleNamespace(version=metadata.version(name))


def _pkg_resources() -> types.ModuleType:
    """Stands in for `pkg_resources`, which setuptools 82 no longer has.

    Relies on it: `sacred/dependencies.py` and `sacred/observers/mongo.py`, which import it at
    their top. It is used where there is a real one, too: importing that takes 0.08 of the 0.2 s
    of `import sacred` (medians of 6, 2026-11) and prints a notice of deprecation. Can go with a
    release that reads `importlib.metadata` (IDSIA/sacred#945).
    """
    module = types.ModuleType("pkg_resources", "Stand-in for sacred 0.8.7 alone.")
    vars(module)["working_set"] = _WorkingSet()
    vars(module)["resource_filename"] = lambda package, name: str(resources.files(package) / name)
    return module


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Lends sacred what it imports, and takes it away: others find the real modules, or none.

    pandas is hidden: `sacred.optional` imports it wherever it is installed (0.13 s), to write data
    frames into a record. A configuration here is text and numbers. No garbage is collected:
    imports create long-lived objects only, and later collections pass over them.
    """
    lent: dict[str, Any] = {"pkg_resources": _pkg_resources(), "pandas": None}  # None: no module
    lent = {name: module for name, module in lent.items() if name not in sys.modules}
    sys.modules.update(lent)
    lacks_loader, collects = not hasattr(pkgutil, "find_loader"), gc.isenabled()
    if lacks_loader:
        vars(pkgutil)["find_loader"] = _find_loader
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        gc.freeze()
        if lacks_loader:
            del vars(pkgutil)["find_loader"]
        for name in lent:
            del sys.modules[name]
