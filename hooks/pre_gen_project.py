"""Refuses what cannot work, with every reason at once, before a file is written.

This is the only gate that typed answers, `--no-input`, `--replay` and cruft all pass through, so
it trusts nothing, not even that a choice is one of the options.
"""

import sys

sys.path.pop(0)  # the shared folder of temporary files: a stray json.py there would be imported
import json
import keyword
import os
import re
import shlex
import unicodedata
from pathlib import Path

# JSON survives every character in an answer: it never holds three quotes in a row.
ctx = json.loads(r"""{{ cookiecutter | jsonify }}""")

FREE_TEXT = ["project_name", "project_slug", "package_name", "description", "full_name", "email"]
FREE_TEXT += ["copyright_year"]
DEVICES = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(10))}
TAKEN = {  # modules and distributions that the project imports, or that its tools install
    "absl", "absl_py", "aiohappyeyeballs", "aiohttp", "aiosignal", "ast_serialize", "async_timeout",
    "attrs", "cfgv", "colorama", "contourpy", "cookiecutter", "cycler", "distlib", "docopt",
    "docopt_ng", "exceptiongroup", "filelock", "flit", "flit_core", "fonttools", "frozenlist",
    "fsspec", "git", "gitdb", "gitpython", "grpc", "grpcio", "identify", "idna", "iniconfig",
    "jinja2", "jsonpickle", "kiwisolver", "librt", "lightning", "lightning_fabric",
    "lightning_utilities", "markdown", "markupsafe", "matplotlib", "mpl_toolkits", "mpmath",
    "multidict", "munch", "mypy", "mypy_extensions", "networkx", "nodeenv", "numpy", "packaging",
    "pathspec", "pil", "pillow", "pip", "pkg_resources", "platformdirs", "pluggy", "pre_commit",
    "propcache", "protobuf", "py_cpuinfo", "pygments", "pylab", "pyparsing", "pytest",
    "python_dateutil", "pytorch_lightning", "pyyaml", "ruff", "sacred", "setuptools", "six",
    "smmap", "src", "sympy", "tensorboard", "tensorboard_data_server", "test", "tests", "tomli",
    "torch", "torchgen", "torchmetrics", "torchvision", "tqdm", "triton", "types_pyyaml",
    "typing_extensions", "tzdata", "virtualenv", "werkzeug", "wheel", "wrapt", "yaml", "yarl",
}  # fmt: skip
errors = []

if os.listdir("."):
    errors.append(
        "the folder is there and not empty; to bring a project up to date, use `cruft update`, "
        "or choose another project_slug"
    )

for key in FREE_TEXT:
    value = ctx[key]
    if not isinstance(value, str) or (not value.strip() and key != "description"):
        errors.append(f"{key} is blank")
        continue
    bad = [c for c in value if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    bad += [c for c in value if c in "\ufeff\ufffe\uffff"]
    if bad:
        shown = ", ".join(sorted({f"U+{ord(c):04X}" for c in bad}))
        errors.append(f"{key} has control characters or line breaks in it ({shown})")
    # A delimiter written out here would be one: this file is a template, too.
    if any("{" + c in value for c in ("{", "%", "#")):
        errors.append(f"{key} has Jinja delimiters in it: an update would render them again")

slug, package, email = ctx["project_slug"], ctx["package_name"], ctx["email"]
if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", slug):
    errors.append(
        f"project_slug {slug!r} is no folder name on every system: use letters a-z, digits, and "
        "'-', '_' or '.' between them, at most 64 in all"
    )
elif slug.lower().partition(".")[0] in DEVICES:
    errors.append(f"project_slug {slug!r} is the name of a device on Windows")
elif re.sub(r"[-_.]+", "_", slug.lower()) in TAKEN - {"src", "test", "tests"}:
    errors.append(f"project_slug {slug!r} is the name of a library that the project depends on")

if not re.fullmatch(r"[a-z_][a-z0-9_]*", package):
    errors.append(
        f"package_name {package!r} cannot be imported: use a-z, 0-9 and '_', a digit not first"
    )
elif keyword.iskeyword(package) or package in ("match", "case", "type"):
    errors.append(f"package_name {package!r} is a keyword of Python")
elif package in sys.stdlib_module_names:
    errors.append(f"package_name {package!r} is a module of Python's standard library")
elif package in TAKEN or package in DEVICES:
    errors.append(f"package_name {package!r} is taken by a library or has a meaning of its own")
elif len(package) > 64:
    errors.append(f"package_name {package!r} is too long: at most 64 characters")

if not re.fullmatch(r"[^@\s<>\"(),:;\\\[\]]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}", email):
    errors.append(f"email {email!r} is not of the form name@host.tld")

if not re.fullmatch(r"[0-9]{4}", ctx["copyright_year"]):
    errors.append(f"copyright_year {ctx['copyright_year']!r} is no year")

models = ctx["_starters"].get(ctx["dataset"], {})
evaluators = models.get(ctx["model"], [])
fitting = {}  # answers that would have fitted the others
if not models:
    errors.append(f"dataset {ctx['dataset']!r} does not exist: use {', '.join(ctx['_starters'])}")
elif not evaluators:
    use = " or ".join(sorted(models))
    errors.append(f"model {ctx['model']!r} does not fit dataset {ctx['dataset']!r}: use {use}")
    # Not the first of `models`: cookiecutter 2.7's jsonify has sorted them.
    fitting["model"] = ctx["__recommended_model"]
    evaluators = models[fitting["model"]]
elif ctx["evaluator"] not in evaluators:
    errors.append(
        f"evaluator {ctx['evaluator']!r} does not fit model {ctx['model']!r} on dataset "
        f"{ctx['dataset']!r}: use {' or '.join(sorted(evaluators))}"
    )
if models and ctx["evaluator"] not in evaluators:
    fitting["evaluator"] = evaluators[0]
if ctx["license"] not in ("MIT", "BSD-3-Clause", "Apache-2.0", "proprietary"):
    errors.append(f"license {ctx['license']!r}: use MIT, BSD-3-Clause, Apache-2.0 or proprietary")


def command():
    """What to type in place of answering all the questions again, with what fits."""
    answers = {key: value for key, value in ctx.items() if not key.startswith("_")} | fitting
    template = ctx.get("_template") or "gh:org/dl-template"
    if "_commit" in ctx:  # cruft 2.16 adds it, cookiecutter 2.7 does not
        text = json.dumps(answers, ensure_ascii=False)
        words = ["cruft", "create", template, "--no-input", "--extra-context", text]
    else:
        words = ["cookiecutter", template, "--no-input"]
    if ctx.get("_checkout"):
        words += ["--checkout", ctx["_checkout"]]
    # A hook runs in the project's folder; PWD is still where the command was typed.
    if str(Path.cwd().parent) != os.environ.get("PWD"):
        words += ["--output-dir", str(Path.cwd().parent)]
    words = [shlex.quote(word) for word in words]
    if "_commit" not in ctx:
        words += [f"{key}={shlex.quote(value)}" for key, value in answers.items()]
    return " ".join(words)


if errors:
    lines = ["Nothing was generated:", *(f"  - {error}" for error in errors)]
    if fitting and len(errors) == 1:
        lines += ["With the other answers as they are, this would have worked:", "", command()]
    # A slug with a slash has made folders above this one, which cookiecutter would leave behind.
    made = len(Path(slug).parts) - 1
    for folder in [Path.cwd(), *Path.cwd().parents][: made + 1 if made > 0 else 0]:
        os.chdir(folder.parent)
        try:
            folder.rmdir()
        except OSError:  # not empty, so not made for this slug alone
            break
    sys.exit("\n" + "\n".join(lines) + "\n")
