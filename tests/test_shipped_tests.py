"""The tests that a project is stamped with hold in real projects, too: other data, other models.

Each folder of `projects/` holds what the user of a stamped project has written.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import Project, environment

PROJECTS = Path(__file__).with_name("projects")
NAMES = {  # project -> what its owner has written into the two configuration files
    "masks": ("Segmenter", "Blobs", "MaskReport", "val_iou"),
    "graphs": ("GraphNet", "RandomGraphs", "GraphReport", "val_loss"),
    "two_views": ("Contrast", "TwoViews", "Alignment", "val_loss"),
    "gan": ("GAN", "Ring", "RingReport", "val_gap"),
    "encoder": ("Probe", "MNISTDataset", "ClassificationReport", "val_loss"),
}
SKIPPED = {  # what cannot be built from defaults is skipped, and says why
    "encoder": (
        "NeedsWeights needs 'weights_path'",
        "NeedsAThreshold needs 'threshold'",
        "MyFiles cannot be built here: dataset_args: MyFiles: [Errno 2]",
    ),
}


def move_in(package: Path, name: str) -> None:
    """Adds what is in one of the projects to a stamped one."""
    shutil.copytree(PROJECTS / name, package, dirs_exist_ok=True)
    model, dataset, evaluator, monitor = NAMES[name]
    for file, values in (
        ("train_config.py", {"model_name": model, "dataset_name": dataset, "monitor": monitor}),
        ("eval_config.py", {"model_name": model, "evaluator_name": evaluator}),
    ):
        text = (package / file).read_text()
        for key, value in values.items():
            text, count = re.subn(
                rf'^    {key} = "\w+"', f'    {key} = "{value}"', text, flags=re.M
            )
            assert count == 1, key
        groups = ["model_args", "evaluator_args", *(["dataset_args"] if name != "encoder" else [])]
        for group in groups:
            body = rf"(    class {group}:\n)(?:        .*\n)+"
            text = re.sub(body, r"\1        pass\n", text)
        (package / file).write_text(text)


def own_tests(project: Project) -> tuple[int, dict[str, str]]:
    """Runs the tests of a project: exit status, and test -> what became of it."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-o", "addopts=", "-v", "-rs"],
        cwd=project.path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout)
    found = dict(re.findall(r"^tests/(\S+) (PASSED|FAILED|ERROR|SKIPPED)", done.stdout, re.M))
    return done.returncode, found | {"output": done.stdout}


@pytest.mark.parametrize("name", NAMES)
def test_a_real_project_passes_the_tests_that_it_was_stamped_with(copy_project, name):
    project = copy_project()
    move_in(project.package, name)
    if name != "encoder":  # the starter's data are not needed, and deleted
        shutil.rmtree(project.package / "datasets" / "mnist_sample")
    status, found = own_tests(project)
    assert status == 0
    model, dataset, evaluator, _ = NAMES[name]
    for test in (
        f"test_plugins.py::test_a_model_learns[{model}]",
        f"test_plugins.py::test_splits_have_examples_that_make_a_batch[{dataset}]",
        f"test_plugins.py::test_an_evaluator_returns_numbers[{evaluator}]",
        "test_commands.py::test_trains_and_evaluates",
    ):
        assert found[test] == "PASSED", test
    for reason in SKIPPED.get(name, ()):
        assert reason in found["output"]


BROKEN = {  # test that has to fail -> file, text, what it becomes
    "test_plugins.py::test_a_batch_is_its_examples[MNISTDataset]": (
        "util/images.py",
        "return images.to(",
        "return images.flip(0).to(",
    ),
    "test_plugins.py::test_a_model_learns[MNISTModel]": (
        "models/mnist_classifier.py",
        "return F.cross_entropy(self(images), targets)  #",
        "return F.cross_entropy(self(images), targets) * float('nan')  #",
    ),
    "test_plugins.py::test_a_checkpoint_is_loaded_without_running_code[MNISTModel]": (
        "models/mnist_classifier.py",
        "self.save_hyperparameters()",
        "self.save_hyperparameters({'layer': nn.Linear(1, 1)})",
    ),
    "test_plugins.py::test_an_evaluator_returns_numbers[ClassificationReport]": (
        "evaluators/classification_report.py",
        "        return results\n",
        "        return {}\n",
    ),
    "test_imports.py::test_imports_go_one_way[engine/runs/stored.py]": (
        "engine/runs/stored.py",
        "from __future__ import annotations\n",
        "from __future__ import annotations\nif False:\n    from ..commands import runs\n",
    ),
}


def test_they_fail_where_their_contracts_are_broken(copy_project):
    project = copy_project({"models/broken.py": "import not_there\n"})
    for file, old, new in BROKEN.values():
        text = (project.package / file).read_text()
        assert text.count(old) == 1, old
        (project.package / file).write_text(text.replace(old, new))
    status, found = own_tests(project)
    assert status == 1
    for test in (*BROKEN, "test_plugins.py::test_each_file_can_be_imported[models/broken.py]"):
        assert found[test] == "FAILED", test
