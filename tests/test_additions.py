"""A project that its user has added to: plug-ins good and bad, sources and checkpoints changed."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys

import pytest
import torch
from helpers import DEBUG, WHOLE, read


@pytest.fixture(scope="module")
def own(copy_project):
    """A copy of the default project that a test may add files to, run as `python -m`."""
    project = copy_project()

    def command(*words: str, check: bool = True):
        return project.module(*words, cwd=project.path, check=check)

    return project.path, project.package, command


def code_blocks(readme: str):
    """(file, code) of each Python block that names its file, and the lines of all shell blocks."""
    files = re.findall(r"^`(\S+\.py)`\n```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    shell = "".join(re.findall(r"^```bash\n(.*?)^```", readme, re.MULTILINE | re.DOTALL))
    return files, [line.split("  #")[0].strip() for line in shell.splitlines() if line.strip()]


def test_the_readme_adds_a_model_a_dataset_an_evaluator_and_a_callback(own):
    folder, _, command = own
    files, lines = code_blocks((folder / "README.md").read_text())
    files = [(name, code) for name, code in files if not name.endswith("wrapped.py")]
    assert len(files) == 4  # and one of "Move in", which test_moving_in.py has
    for name, code in files:
        assert not (folder / name).exists()
        (folder / name).write_text(code)
    lint = [sys.executable, "-m", "ruff", "check", "--no-cache", *(name for name, _ in files)]
    assert subprocess.run(lint, cwd=folder).returncode == 0
    mine = [line for line in lines if "MyCoolIdea/1" in line or "model_name=MyCoolIdea" in line]
    assert len(mine) == 3
    for line in mine:
        command(*line.split())
    run = folder / "model_data" / "MyCoolIdea" / "1"
    assert read(run / "config.json")["model_args"] == {"width": 64}  # nothing of another's
    assert read(run / "config.json")["dataset_args"] == {}
    assert read(run / "info.json")["model_args"] == {
        "num_inputs": 2,
        "num_classes": 2,
        "width": 64,
        "learning_rate": 0.01,
    }
    assert read(run / "evaluations" / "1" / "results.json")["test_accuracy"] > 0.9
    assert (run / "evaluations" / "1" / "note.txt").read_text().endswith("of 600\n")
    averaged = torch.load(run.with_name("2") / "checkpoints" / "best.ckpt", weights_only=True)
    for name, (_, average) in averaged["callbacks"]["EMA"].items():
        assert torch.equal(averaged["state_dict"][name], average)


def test_every_other_command_of_the_readme_is_understood(own):
    """Each line with `train` or `evaluate`, made small and offline."""
    folder, _, command = own
    _, lines = code_blocks((folder / "README.md").read_text())
    command("train", *WHOLE)
    small = ["dataset_args.source=sample", "trainer_args.limit_train_batches=1"]
    done = 0
    for line in lines:
        words = re.sub(r"(run|resume)=3", r"\1=1", line).split()
        if words[0] not in ("train", "evaluate") or re.search("MyCoolIdea|YourNet", line):
            continue
        goes_on = any(word.startswith("resume=") for word in words)
        if words[0] == "train" and words[1:2] in ([], ["with"]) and not goes_on:
            words = ["train", "with", *words[2:], *small]
        if "resume=last" in words:  # of a run that is complete
            words.append("trainer_args.max_epochs=6")
        command(*words)
        done += 1
    assert done >= 18


BROKEN = {
    "models/syntax_error.py": "class Unfinished(:\n",
    "models/import_error.py": "import not_there\n\n\nclass NeedsMore:\n    pass\n",
    "models/name_error.py": "\n\nclass Typo(LightningModule):\n    pass\n",
    "models/twin_a.py": "class Twin:\n    pass\n",
    "models/twin_b.py": "class Twin:\n    pass\n",
    "models/plain.py": "from torch import nn\n\n\nclass Plain(nn.Module):\n    pass\n",
    "models/raises.py": (
        "from .mnist_classifier import MNISTModel\n\n\nclass Raises(MNISTModel):\n"
        "    def training_step(self, batch, batch_idx):\n        raise KeyError('my own bug')\n"
    ),
    "models/greedy.py": (
        "from .mnist_classifier import MNISTModel\n\n\nclass Greedy(MNISTModel):\n"
        "    def __init__(self, input_shape, num_classes, needs_this: int):\n"
        "        super().__init__(input_shape, num_classes)\n"
    ),
    "datasets/list_of_digits.py": "class ListOfDigits(list):\n    pass\n",
    "evaluators/no_report.py": "class NoReport:\n    pass\n",
}


@pytest.fixture(scope="module")
def broken(own):
    _, package, command = own
    for name, code in BROKEN.items():
        (package / name).write_text(code)
    return command


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("model_name=Unfinished", "models/syntax_error.py cannot be read (SyntaxError, line 1)"),
        ("model_name=NeedsMore", "models/import_error.py, line 1: ModuleNotFoundError"),
        ("model_name=Typo", "models/name_error.py, line 3: NameError"),
        ("model_name=Twin", "models/twin_a.py and models/twin_b.py"),
        ("model_name=Plain", "Plain in models/plain.py is no model: it has to be a subclass"),
        ("model_name=Greedy", "Greedy needs 'needs_this'"),
        ("dataset_name=ListOfDigits", "datasets/list_of_digits.py is no dataset"),
    ],
)
def test_a_broken_plug_in_is_named(broken, words, said):
    refused = broken("train", *DEBUG[:2], words, check=False)
    assert refused.returncode == 1
    assert said in refused.stdout
    assert "Traceback" not in refused.stdout


def test_a_broken_plug_in_harms_no_other_run(broken):
    broken("train", *DEBUG)
    refused = broken("evaluate", "with", "evaluator_name=NoReport", "run=1", check=False)
    assert "evaluators/no_report.py is no evaluator" in refused.stdout
    broken("evaluate", "with", "run=1")


def test_a_bug_keeps_its_traceback_and_fails_the_run(own, broken):
    failed = broken("train", "with", "debug", "model_name=Raises", check=False)
    assert failed.returncode == 1
    assert "raises.py" in failed.stdout
    assert "KeyError: 'my own bug'" in failed.stdout
    record = read(own[0] / "model_data" / "Raises" / "1" / "run.json")
    assert record["status"] == "FAILED"
    assert "my own bug" in record["fail_trace"][-1]


def test_a_loss_that_is_not_finite_stops_the_training_before_it_is_saved(own):
    folder, package, command = own
    (package / "models" / "diverges.py").write_text(
        "from .mnist_classifier import MNISTModel\n\n\nclass Diverges(MNISTModel):\n"
        "    def __init__(self, input_shape, num_classes, at: int, weights: bool = False):\n"
        "        super().__init__(input_shape, num_classes)\n\n"
        "    def training_step(self, batch, batch_idx):\n"
        "        loss = super().training_step(batch, batch_idx)\n"
        "        if self.global_step + 1 != self.hparams.at:\n"
        "            return loss\n"
        "        if not self.hparams.weights:\n"
        "            return loss * float('nan')\n"
        "        self.head.weight.data.fill_(float('inf'))\n"
        "        return loss\n"
    )
    words = ["train", "with", "model_name=Diverges", "dataset_args.source=sample"]
    words.append("trainer_args.limit_train_batches=10")
    for number, (more, said) in enumerate(
        (
            (["model_args.at=17"], "the loss is not finite at step 17"),
            (
                ["model_args.at=20", "model_args.weights=True", "trainer_args.limit_val_batches=0"],
                "weight is not finite after step 20",
            ),
        ),
        start=1,
    ):
        failed = command(*words, *more, check=False)
        assert failed.returncode == 1
        assert said in failed.stdout
        assert "Traceback" not in failed.stdout
        run = folder / "model_data" / "Diverges" / str(number)
        assert f"{run.relative_to(folder)}/checkpoints/last.ckpt is from before" in failed.stdout
        assert read(run / "run.json")["status"] == "FAILED"
        last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
        assert last["global_step"] == 10
        assert all(weight.isfinite().all() for weight in last["state_dict"].values())
    command("evaluate", "with", "run=Diverges/1", "evaluator_name=ClassificationReport")
    words = ["model_args.learning_rate=1e18", "trainer_args.limit_train_batches=1"]
    failed = command("train", "with", "dataset_args.source=sample", *words, check=False)
    assert failed.returncode == 1
    assert "val_loss is not finite after step 1" in failed.stdout


def test_a_checkpoint_of_other_sources_or_with_code_is_refused(own):
    """And a damaged one. None of them is run, each is named."""
    folder, _, command = own
    command("train", *DEBUG)
    checkpoints = max((folder / "model_data" / "MNISTModel").glob("*/checkpoints"))
    whole = (checkpoints / "best.ckpt").read_bytes()

    class Planted:
        def __reduce__(self):
            return (open, (str(folder / "planted"), "w"))

    content = torch.load(checkpoints / "best.ckpt", weights_only=True)
    torch.save(content | {"planted": Planted()}, checkpoints / "planted.ckpt")
    (checkpoints / "pickled.ckpt").write_bytes(pickle.dumps(Planted()))
    (checkpoints / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    content["state_dict"]["head.weight"] = content["state_dict"]["head.weight"][:5]
    torch.save(content, checkpoints / "other.ckpt")
    for name, said in (
        ("planted.ckpt", "could run code"),
        ("pickled.ckpt", "could run code"),
        ("cut.ckpt", "cut.ckpt is damaged"),
        ("other.ckpt", "size mismatch for head.weight"),
    ):
        refused = command("evaluate", "with", f"checkpoint_path={checkpoints / name}", check=False)
        assert refused.returncode == 1, name
        assert said in refused.stdout, name
        assert "Traceback" not in refused.stdout
    assert not (folder / "planted").exists()


def test_git_commit_and_uncommitted_changes_are_recorded(own):
    folder, package, command = own
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(folder)]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    recorded = []
    for change in ("", "# a change\n"):
        with open(package / "__init__.py", "a") as file:
            file.write(change)
        command("train", *DEBUG)
        newest = max(folder.glob("model_data/MNISTModel/*/run.json"), key=os.path.getmtime)
        recorded.append(read(newest)["experiment"]["repositories"])
    assert recorded == [
        [{"commit": head.strip(), "dirty": False}],
        [{"commit": head.strip(), "dirty": True}],
    ]
