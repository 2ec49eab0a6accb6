"""What the sources of a model and its callbacks say about the names of metrics they log.

What a training logs shows only when it trains; a mistyped `monitor` is to be found before.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pytorch_lightning import Callback, LightningModule

from ..plugins import PACKAGE, source

# Libraries that log nothing for a model under a name of their own.
LIBRARIES = {
    *sys.stdlib_module_names,
    *("torch", "torchvision", "torchaudio", "torchmetrics", "pytorch_lightning"),
    *("lightning_fabric", "lightning_utilities", "numpy", "pandas", "scipy", "sklearn"),
    *("matplotlib", "PIL", "tensorboard", "transformers", "timm"),
}
ANYTHING = "(.*)"
STAGES = {"train", "val", "valid", "validation", "test", "dev", "eval"}


class LoggedNames:
    """Names of metrics, as far as sources tell them.

    Args:
        classes: of the model and its callbacks.

    Attributes:
        exact: names that are written out.
        patterns: of names that are put together, `f"{stage}_loss"`, as regular expressions.
        returned: likewise of keys that `training_step` may return, "train_" before them.
        texts: whatever a part of a name may be: the words of all text in these sources.
        words: all names in them; objects of metrics are called as their classes are.
        keys: text that may be a key of what `training_step` returns.
        is_complete: False where a source could not be read.
    """

    def __init__(self, classes: Iterable[type]):
        self.exact: set[str] = {"train_loss"}
        self.patterns: set[str] = set()
        self.returned: set[str] = set()
        self.texts: set[str] = set()
        self.words: set[str] = set()
        self.keys: set[str] = set()
        self.is_complete = True
        classes = {base for cls in classes for base in cls.__mro__}
        others: dict[str, list[tuple[ast.stmt, set[str]]]] = {}
        for module in _modules(classes):
            self._read_module(module, classes, others)
        # Another model in the same file counts where it is a part of this one.
        while used := others.keys() & self.words:
            for statement, imported in others.pop(used.pop()):
                self._read(statement, imported)

    def _read_module(
        self,
        module: ModuleType,
        classes: set[type],
        others: dict[str, list[tuple[ast.stmt, set[str]]]],
    ) -> None:
        """Reads a module, less its other models and callbacks, which are put among `others`."""
        try:
            tree = source(Path(inspect.getsourcefile(module) or ""))
        except (OSError, TypeError, SyntaxError, ValueError):
            self.is_complete = False
            return
        imported = {
            alias.asname or alias.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        for statement in tree.body:
            if isinstance(statement, ast.ClassDef):
                cls = vars(module).get(statement.name)
                is_plug_in = isinstance(cls, type) and issubclass(cls, (LightningModule, Callback))
                if is_plug_in and cls not in classes:
                    others.setdefault(statement.name, []).append((statement, imported))
                    continue
            self._read(statement, imported)

    def _read(self, statement: ast.stmt, imported: set[str]) -> None:
        for node in ast.walk(statement):
            if isinstance(node, ast.Call):
                for name in _logged_by(node, imported):
                    self._add(name)
            elif isinstance(node, ast.Dict):
                keys = {key for key in map(_text, node.keys) if key is not None}
                self.exact |= {f"train_{key}" for key in keys} if "loss" in keys else set()
            elif isinstance(node, ast.JoinedStr):
                self.returned |= {*_patterns(node)} - {ANYTHING}
            text = _text(node)
            if text is not None and len(text) < 60:  # else it is a docstring
                self.texts |= {*re.split(r"[^A-Za-z0-9]+", text)} - {""}
                self.keys |= {text}
            self.words |= {_identifier(node), *re.split(r"[^A-Za-z0-9]+", _identifier(node))} - {""}

    def _add(self, name: str) -> None:
        if ANYTHING in name:
            self.patterns.add(name)
        else:
            self.exact.add(re.sub(r"\\(.)", r"\1", name))

    def known(self) -> set[str]:
        """Names that may be logged, for a suggestion."""
        stages = sorted(self.texts & STAGES)
        found = {*self.exact}
        for pattern in self.patterns - {ANYTHING}:
            parts = [re.sub(r"\\(.)", r"\1", part) for part in pattern.split(ANYTHING)]
            found |= {stage.join(parts) for stage in stages if len(parts) == 2}
        return found

    def may_have(self, name: str) -> bool:
        """Whether a metric may have this name: not if the sources show that it is mistyped."""
        if not self.is_complete or self.has(name):
            return True
        if ANYTHING in self.patterns and _is_made_of(self.words | self.texts, name):
            return True
        # A part of its name may come from data: a class, say.
        key = name.removeprefix("train_")
        if key != name and any(re.fullmatch(pattern, key) for pattern in self.returned):
            return True
        is_possible = any(re.fullmatch(pattern, name) for pattern in self.patterns)
        return is_possible and not mistyped(name, self.known())

    def has(self, name: str) -> bool:
        """Whether the sources say that a metric is called so."""
        name = name.partition("/dataloader_idx_")[0]
        if name in self.exact:
            return True
        if name.startswith("train_") and name.removeprefix("train_") in self.keys:
            return True
        if ANYTHING in self.patterns and _is_made_of(self.texts, name):
            return True
        matches = (re.fullmatch(pattern, name) for pattern in self.patterns - {ANYTHING})
        return any(
            all(_is_made_of(self.texts, part) for part in match.groups())
            for match in matches
            if match
        )


def mistyped(name: str, known: Iterable[str]) -> str | None:
    """The known name that is meant, if this one looks like a slip of the fingers."""
    # `train_accuracy` is none of `val_accuracy`.
    alike = [other for other in known if other[:1] == name[:1]]
    return next(iter(difflib.get_close_matches(name, alike, n=1, cutoff=0.8)), None)


def _is_made_of(words: set[str], text: str) -> bool:
    parts = filter(None, re.split(r"[^A-Za-z0-9]+|(?<=[a-z])(?=\d)", text))
    return all(part.isdigit() or part in words for part in parts)


def _modules(classes: set[type]) -> Iterator[ModuleType]:
    """The modules of these classes, the user's own, and what these import."""
    names = {cls.__module__ for cls in classes}
    engine, package = __package__.rpartition(".")[0], __package__.rpartition(".engine")[0]
    names |= {name for name in [*sys.modules] if name.startswith(f"{package}.")}
    configs = {f"{package}.{path.stem}" for path in PACKAGE.glob("*.py")}
    own = {name for name in names if _is_read(name, engine) and name not in configs}
    found = {name: module for name in own if (module := sys.modules.get(name))}
    for module in list(found.values()):
        for value in list(vars(module).values()):
            of = value.__name__ if isinstance(value, ModuleType) else _module_of(value)
            if of and _is_read(of, engine) and of not in configs and of in sys.modules:
                found[of] = sys.modules[of]
    for name in sorted(found):
        if getattr(found[name], "__file__", None):
            yield found[name]


def _module_of(value: Any) -> str:
    is_code = inspect.isclass(value) or inspect.isfunction(value)
    return str(value.__module__) if is_code else ""


def _is_read(name: str, engine: str) -> bool:
    return name.partition(".")[0] not in LIBRARIES and not f"{name}.".startswith(f"{engine}.")


def _logged_by(call: ast.Call, imported: set[str]) -> list[str]:
    """The names that a call logs; none if it is no call of `log` or `log_dict`."""
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr not in ("log", "log_dict"):
        return []
    if isinstance(function.value, ast.Name) and function.value.id in imported:  # math.log(x, 2)
        return []
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    arguments = [*call.args, *(keywords[k] for k in ("name", "dictionary") if k in keywords)]
    if not arguments or (function.attr == "log" and len(call.args) + len(keywords) < 2):
        return []
    if function.attr == "log":
        return _patterns(arguments[0])
    return [name for key in _keys(arguments[0]) for name in _patterns(key)]


def _keys(node: ast.expr) -> list[ast.expr | None]:
    """The keys of an expression that is a dict; None for those that are made elsewhere."""
    if isinstance(node, ast.Dict):
        return list(node.keys)
    if isinstance(node, ast.DictComp):
        return [node.key]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return [ast.Constant(word.arg) if word.arg else None for word in node.keywords]
    return [None]


def _patterns(node: ast.expr | None) -> list[str]:
    """Regular expressions of the texts that an expression may have."""
    if (text := _text(node)) is not None:
        return [re.escape(text)]
    if isinstance(node, ast.JoinedStr):
        return ["".join(_patterns(part)[0] for part in node.values)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [a + b for a in _patterns(node.left) for b in _patterns(node.right)]
    if isinstance(node, ast.BinOp) and (text := _text(node.left)) is not None:  # "%s_loss" % stage
        return [ANYTHING.join(map(re.escape, re.split(r"%[-\d.]*[a-z]", text)))]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        text = _text(node.func.value)
        if node.func.attr == "format" and text is not None:
            return [ANYTHING.join(map(re.escape, re.split(r"\{[^}]*\}", text)))]
    if isinstance(node, ast.IfExp):
        return _patterns(node.body) + _patterns(node.orelse)
    return [ANYTHING]


def _text(node: ast.AST | None) -> str | None:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_text else None  # type: ignore[union-attr]


def _identifier(node: ast.AST) -> str:
    """The name that a node of a source is or defines, or ""."""
    found = (getattr(node, field, None) for field in ("id", "attr", "arg", "name"))
    return next((name for name in found if isinstance(name, str)), "")
