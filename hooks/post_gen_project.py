"""Keeps the chosen starters, drops the others, and wires the configuration.

Standard library only; deterministic; touches nothing but what this run has rendered (pre_gen
refuses a folder with anything in it). What a starter brings is read from its sidecar in the
rendered tree, `starters/<role>/<name>.py`: under cruft 2.16 a hook sees nothing else.
"""

import sys

sys.path.pop(0)  # the shared folder of temporary files: a stray shutil.py there would be imported
import ast
import json
import re
import shutil
import textwrap
from pathlib import Path

ctx = json.loads(r"""{{ cookiecutter | jsonify }}""")
# cruft writes the context that it was rendered with into .cruft.json, after the hooks. pre_gen has
# used the table already, and an update reads it from the new template (cruft 2.16 passes on no name
# with an underscore): {{ cookiecutter.pop("_starters") and "a project keeps its answers only." }}
package = Path("src", ctx["package_name"])


class Starter:
    """A sidecar: read, never imported, so that the comments beside its settings are kept."""

    def __init__(self, path):
        self.role, self.name = path.parent.name, path.stem
        self.source = path.read_text(encoding="utf-8")
        tree = ast.parse(self.source, str(path))
        self.about = ast.get_docstring(tree)
        self.class_name, self.files, self.tests, self.requires, self.readme = None, [], [], [], ""
        self.settings = {}
        for node in tree.body:
            if isinstance(node, ast.Assign):
                setattr(self, node.targets[0].id, ast.literal_eval(node.value))
            elif isinstance(node, ast.ClassDef):
                self.settings[node.name] = node

    def groups(self, config, dataset=None):
        """Yields each group of settings, as its name and its lines by the name of the setting."""
        found = classes(self.settings.get(config))
        if dataset is not None:
            found = classes({node.name: node for node in found}.get(dataset))
        for node in found:
            yield node.name, settings(self.source, node)

    def paths(self):
        return {package / name for name in self.files} | {Path("tests", x) for x in self.tests}


def classes(node):
    return [child for child in node.body if isinstance(child, ast.ClassDef)] if node else []


def settings(source, group):
    """The settings in the body of a class: the lines of each, comments included, by its name."""
    lines, end, found = source.splitlines(), group.lineno, {}
    for node in group.body:
        name = node.targets[0].id if isinstance(node, ast.Assign) else "pass"
        found[name] = textwrap.dedent("\n".join(lines[end : node.end_lineno])).strip("\n")
        end = node.end_lineno
    return found


def edit(path, change):
    path.write_bytes(change(path.read_bytes().decode("utf-8")).encode("utf-8"))


def drop_caches():
    """What tools have left in the checkout that is stamped is none of the project's."""
    for name in ("__pycache__", ".ruff_cache", ".pytest_cache", ".mypy_cache"):
        for path in list(Path(".").rglob(name)):
            shutil.rmtree(path)


def drop_starters():
    kept = set().union(*(starter.paths() for starter in chosen.values()))
    for path in set().union(*(starter.paths() for starter in starters)) - kept:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    shutil.rmtree("starters")


def drop_requirements(text):
    """Takes out the lines of what only starters need that were not chosen."""
    unneeded = {name for starter in starters for name in starter.requires}
    unneeded -= {name for starter in chosen.values() for name in starter.requires}
    lines = text.splitlines(keepends=True)
    return "".join(x for x in lines if re.split("[<>=!~]", x.strip(' "'))[0] not in unneeded)


def wire(text, config):
    """Puts the chosen classes, with the arguments that suit them, into a configuration file."""
    for role, starter in chosen.items():
        name = f'    {role}_name = "{starter.class_name}"'
        text = re.sub(rf'^    {role}_name = "\w+"', name, text, flags=re.MULTILINE)
        for group, new in starter.groups(config):
            # A plug-in's own group is replaced whole; in another one, the lines of the same names.
            text = fill(text, group, new, keep=group != f"{role}_args")
        for group, new in starter.groups(f"{config}_for", ctx["dataset"]):
            text = fill(text, group, new, keep=True)
    return text


def fill(text, group, new, keep):
    """Puts settings into a group of a configuration file, in place of or besides those there."""
    (function,) = (x for x in ast.parse(text).body if getattr(x, "name", "") == "config")
    (node,) = (x for x in classes(function) if x.name == group)
    body = (settings(text, node) if keep else {}) | new
    lines = text.splitlines(keepends=True)
    written = textwrap.indent("\n".join(body.values()) + "\n", " " * 8)
    return "".join([*lines[: node.lineno], written, *lines[node.end_lineno :]])


def wire_train_config(text):
    about = " on ".join(chosen[role].about for role in ("model", "dataset"))
    about = f"{about[0].upper()}{about[1:]}."
    return re.sub(
        r'(def config\(\):\n    """).*?"""', rf'\g<1>{about}"""', wire(text, "train_config")
    )


def wire_readme(text):
    """Fills places like [[model.about]]. No answer can hold one: its brackets are escaped there."""
    places = r"\[\[(dataset|model|evaluator)\.(\w+)\]\]"
    return re.sub(places, lambda found: getattr(chosen[found[1]], found[2]).strip("\n"), text)


def write_answers():
    """What was answered, and the template's version: `cruft link` need not ask again."""
    kept = {key: ctx[key] for key in ctx if not key.startswith("_")}
    text = json.dumps(kept | {"_version": ctx["_version"]}, indent=2, ensure_ascii=False)
    Path(".dl-template.json").write_bytes(f"{text}\n".encode())


starters = [Starter(path) for path in sorted(Path("starters").glob("*/*.py"))]
by_place = {(starter.role, starter.name): starter for starter in starters}
chosen = {role: by_place[role, ctx[role]] for role in ("dataset", "model", "evaluator")}

drop_caches()
drop_starters()
edit(Path("pyproject.toml"), drop_requirements)
edit(Path("README.md"), wire_readme)
edit(package / "train_config.py", wire_train_config)
edit(package / "eval_config.py", lambda text: wire(text, "eval_config"))
write_answers()
Path(f"LICENSE.{ctx['license']}").replace("LICENSE")
for path in Path(".").glob("LICENSE.*"):
    path.unlink()

# On stderr: the standard output of `cruft diff` is a patch.
print(
    f"""
{ctx["project_slug"]}/ is ready. Next:

    cd {ctx["project_slug"]}
    python3 -m venv .venv && . .venv/bin/activate
    pip install -e . -c constraints.txt
    train
    evaluate

README.md tells how to go on; to keep its history, begin with
    git init && git add -A && git commit -m "First commit"
""",
    file=sys.stderr,
)
