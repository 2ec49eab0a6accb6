"""Keeps the chosen starters, drops the others, and wires the configuration.

Standard library only; deterministic; touches nothing but what this run has rendered (pre_gen
refuses a folder with anything in it).
"""

import sys

sys.path.pop(0)  # the shared folder of temporary files: a stray shutil.py there would be imported
import json
import re
import shutil
from pathlib import Path

ctx = json.loads(r"""{{ cookiecutter | jsonify }}""")
package = Path("src", ctx["package_name"])
rows = [(role, name, row) for role, table in ctx["_wiring"].items() for name, row in table.items()]
chosen = [row for role, name, row in rows if ctx[role] == name]


def edit(path, change):
    path.write_bytes(change(path.read_bytes().decode("utf-8")).encode("utf-8"))


def drop_caches():
    """What tools have left in the checkout that is stamped is none of the project's."""
    for name in ("__pycache__", ".ruff_cache", ".pytest_cache"):
        for path in list(Path(".").rglob(name)):
            shutil.rmtree(path)


def files_of(row):
    return {package / name for name in row["files"]} | {
        Path("tests", name) for name in row.get("tests", ())
    }


def drop_starters():
    kept = set().union(*map(files_of, chosen))
    for path in set().union(*(files_of(row) for _, _, row in rows)) - kept:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def drop_requirements(text):
    """Takes out the lines of what only starters need that were not chosen."""
    unneeded = {name for _, _, row in rows for name in row["requires"]}
    unneeded -= {name for row in chosen for name in row["requires"]}
    lines = text.splitlines(keepends=True)
    return "".join(x for x in lines if re.split("[<>=!~]", x.strip(' "'))[0] not in unneeded)


def wire(text, config):
    """Puts the chosen classes, with the arguments that suit them, into a configuration file."""
    for role in ("dataset", "model", "evaluator"):
        row = ctx["_wiring"][role][ctx[role]]
        name = f'    {role}_name = "{row["class"]}"'
        text = re.sub(rf'^    {role}_name = "\w+"', name, text, flags=re.MULTILINE)
        for group, lines in row.get(config, {}).items():
            # A plug-in's own group is replaced whole; in another one, the lines of the same names.
            text = fill(text, group, lines, keep=group != f"{role}_args")
        for group, lines in row.get(f"{config}_for", {}).get(ctx["dataset"], {}).items():
            text = fill(text, group, lines, keep=True)
    return text


def fill(text, group, lines, keep):
    head = f"    class {group}:\n"
    before, after = text.split(head)
    length = re.match(r"(?:        .*\n)+", after).end()
    old = {line.split()[0]: line for line in after[:length].splitlines()} if keep else {}
    body = old | {line.split()[0]: f"        {line}" for line in lines}
    return before + head + "\n".join(body.values()) + "\n" + after[length:]


def wire_train_config(text):
    about = " on ".join(ctx["_wiring"][role][ctx[role]]["about"] for role in ("model", "dataset"))
    about = f"{about[0].upper()}{about[1:]}."
    return re.sub(
        r'(def config\(\):\n    """).*?"""', rf'\g<1>{about}"""', wire(text, "train_config")
    )


drop_caches()
drop_starters()
edit(Path("pyproject.toml"), drop_requirements)
edit(Path("constraints.txt"), drop_requirements)
edit(package / "train_config.py", wire_train_config)
edit(package / "eval_config.py", lambda text: wire(text, "eval_config"))
Path(f"LICENSE.{ctx['license']}").replace("LICENSE")
for path in Path(".").glob("LICENSE.*"):
    path.unlink()

print(f"""
{ctx["project_slug"]}/ is ready. Next:

    cd {ctx["project_slug"]}
    python3 -m venv .venv && . .venv/bin/activate
    pip install -e . -c constraints.txt
    train
    evaluate

README.md tells how to go on; to keep its history, begin with
    git init && git add -A && git commit -m "First commit"
""")
