"""`evaluate runs`, `compare`, `clean` and `runs=all`: looking at many runs, some edited by hand."""

from __future__ import annotations

import csv
import json
import re
import shutil

import numpy as np
import pytest
from helpers import DEBUG, DEFAULT, read

QUICK = ["dataset_args.source=sample", "trainer_args.max_epochs=1"]


@pytest.fixture(scope="module")
def looked_at(installed, tmp_path_factory):
    """Three runs that differ in seed or width, all evaluated: (project, folder, printed)."""
    project, folder = installed(DEFAULT), tmp_path_factory.mktemp("look")
    for words in ([], ["seed=7"], ["model_args.hidden_dimension=16"]):
        project("train", "with", *QUICK, *words, cwd=folder)
    printed = project("evaluate", "with", "runs=all", cwd=folder).stdout
    return project, folder, printed


@pytest.fixture
def runs_copy(looked_at, tmp_path):
    """A copy of these runs that a test may edit: (folder of the model's runs, command)."""
    project, folder, _ = looked_at
    shutil.copytree(folder / "model_data", tmp_path / "model_data")

    def evaluate(*words: str, check: bool = True) -> str:
        done = project("evaluate", *words, cwd=tmp_path, check=check)
        assert check or done.returncode == 1, done.stdout
        assert "Traceback" not in done.stdout
        return done.stdout

    return tmp_path / "model_data" / "MNISTModel", evaluate


def edit(file, **values) -> None:
    file.write_text(json.dumps(read(file) | values))


def table(printed: str) -> dict[str, list[str]]:
    """Name of a run -> its cells."""
    rows = [re.split(r"  +", line.rstrip()) for line in printed.splitlines()]
    return {row[0]: row[1:] for row in rows if row[0].startswith("MNISTModel/")}


def test_all_runs_are_evaluated_once(looked_at):
    project, folder, printed = looked_at
    assert "done   3 runs evaluated by ClassificationReport, 0 refused" in printed
    again = project("evaluate", "with", "runs=all", cwd=folder).stdout
    assert again.strip() == "done   0 runs evaluated by ClassificationReport, 0 refused"
    for run in (folder / "model_data" / "MNISTModel").iterdir():
        assert [path.name for path in (run / "evaluations").iterdir()] == ["1"]


def test_a_run_that_cannot_be_evaluated_stops_no_other(runs_copy):
    runs, evaluate = runs_copy
    for run in runs.iterdir():
        shutil.rmtree(run / "evaluations")
    shutil.rmtree(runs / "2" / "checkpoints")
    printed = evaluate("with", "runs=all", check=False)
    assert "MNISTModel/2 is not evaluated: run MNISTModel/2 (COMPLETED) has left no" in printed
    assert "done   2 runs evaluated by ClassificationReport, 1 refused" in printed


def test_the_table_says_what_is_what(looked_at):
    project, folder, _ = looked_at
    rows = table(project("evaluate", "runs", cwd=folder).stdout)
    assert list(rows) == ["MNISTModel/1", "MNISTModel/2", "MNISTModel/3"]
    dataset, status, epochs, best, test, _, differs = rows["MNISTModel/3"]
    run = folder / "model_data" / "MNISTModel" / "3"
    assert (dataset, status, epochs) == ("MNISTDataset", "COMPLETED", "1")
    assert best == f"val_loss {read(run / 'run.json')['result']['best_val_loss']:.4f}"
    accuracy = read(run / "evaluations" / "1" / "results.json")["test_accuracy"]
    assert test == f"test_accuracy {accuracy:.4f}"
    assert "model_args.hidden_dimension=16" in differs
    assert "trainer_args.max_epochs=1" in differs
    assert "seed=7" in rows["MNISTModel/2"][-1]


def test_filters_and_sorting(runs_copy):
    runs, evaluate = runs_copy
    for number, loss in (("1", 0.5), ("2", 0.3), ("3", 0.4)):
        result = read(runs / number / "run.json")["result"] | {"best_val_loss": loss}
        edit(runs / number / "run.json", result=result)
    edit(runs / "1" / "run.json", status="FAILED")

    def order(*words):
        return [name[-1] for name in table(evaluate("runs", "with", *words))]

    assert order("sort=val_loss") == ["2", "3", "1"]
    assert order("sort=-val_loss") == ["1", "3", "2"]
    assert order("sort=model_args.hidden_dimension") == ["3", "1", "2"]
    assert order("seed=7") == ["2"]
    assert order("status=COMPLETED", "model=MNISTModel", "sort=val_loss") == ["2", "3"]
    assert "did you mean 'status'?" in evaluate("runs", "with", "statu=FAILED", check=False)
    assert "did you mean 'val_loss'?" in evaluate("runs", "with", "sort=val_los", check=False)
    said = evaluate("runs", "with", "status=DONE", check=False)
    assert "no run has status 'DONE': there are COMPLETED, FAILED" in said


def test_a_run_whose_process_is_gone_is_dead(runs_copy):
    runs, evaluate = runs_copy
    record = read(runs / "1" / "run.json")
    attempts = [record["attempts"][0] | {"status": "RUNNING"}]
    edit(runs / "1" / "run.json", status="RUNNING", attempts=attempts)
    assert table(evaluate("runs"))["MNISTModel/1"][1] == "DEAD"


def test_a_thousand_runs_and_no_torch(runs_copy, looked_at):
    runs, evaluate = runs_copy
    for number in range(4, 1001):
        (runs / str(number)).mkdir()
        for name in ("run.json", "config.json", "info.json", "metrics.json"):
            shutil.copyfile(runs / "1" / name, runs / str(number) / name)
    assert len(table(evaluate("runs"))) == 1000
    project, _, _ = looked_at
    code = f"""
import sys
from {project.package.name} import runner
runner.evaluate_command(["evaluate", "runs"])
assert not {{"torch", "pytorch_lightning", "matplotlib"}} & set(sys.modules)
"""
    project("python", "-c", code, cwd=runs.parent.parent)


def test_what_was_edited_by_hand_is_named_and_the_others_listed(runs_copy, tmp_path):
    runs, evaluate = runs_copy
    damages = {
        "4": ("run.json", None, "4 is no run: it has no run.json"),
        "5": ("run.json", '{"status": "COMP', "5/run.json cannot be read"),
        "6": ("config.json", "[]", "6/config.json cannot be read: not an object"),
        "7": ("metrics.jsonl", '{"val_loss": 3}\n', "7/metrics.jsonl is damaged"),
        "8": ("run.json", '{"status": 3}', "8/run.json is not of a training run"),
        "11": ("run.json", '{"status": "COMPLETED", "attempts": [1]}', "11/run.json is not of"),
        "9": ("info.json", '{"model_args": []}', "9/info.json is not of a training run"),
    }
    for number, (name, text, _) in damages.items():
        shutil.copytree(runs / "1", runs / number)
        (runs / number / name).unlink() if text is None else (runs / number / name).write_text(text)
    (tmp_path / "outside").mkdir()
    shutil.copytree(runs / "1", runs / "10", ignore=shutil.ignore_patterns("checkpoints"))
    (runs / "10" / "checkpoints").symlink_to(tmp_path / "outside")
    printed = evaluate("runs")
    assert list(table(printed)) == ["MNISTModel/1", "MNISTModel/2", "MNISTModel/3"]
    complaints = [line for line in printed.splitlines() if line.startswith("UserError: ")]
    assert len(complaints) == 8, printed
    for _, _, said in damages.values():
        assert sum(said in line for line in complaints) == 1, said
    assert sum("10/checkpoints is a link" in line for line in complaints) == 1


def test_seeds_are_one_group_and_pairs_are_compared(runs_copy):
    runs, evaluate = runs_copy
    losses = {"1": 0.25, "2": 0.75, "3": 1.0}
    for number, loss in losses.items():
        edit(runs / number / "evaluations" / "1" / "results.json", test_loss=loss)
        # A constant difference leaves nothing to chance.
        file = runs / number / "evaluations" / "1" / "per_example.csv"
        rows = [["test_accuracy", "test_loss"]] + [[1, i % 10 + loss] for i in range(1000)]
        with file.open("w", newline="") as opened:
            csv.writer(opened).writerows(rows)
    edit(runs / "3" / "config.json", monitor_mode="<script>alert(1)</script>")
    printed = evaluate("compare", "with", "runs=[1,2,MNISTModel/3]")
    assert re.search(r"\n +MNISTModel/1,2 +MNISTModel/3\n", "\n" + printed)
    assert re.search(r"test_loss +0\.5000 \+- 0\.3536 \(2\) +1\.0000\n", printed)
    assert re.search(r"model_args.hidden_dimension +784 +16\n", printed)
    # The difference is the same for all examples, so that only the two seeds vary: 0.25 and 0.75
    # have a standard error of 0.25, and Student's t with one degree of freedom a 97.5 % quantile
    # of 12.7.
    low, high, zero = re.search(
        r"test_loss: MNISTModel/3 - MNISTModel/1,2 = \+0\.5000 \[(.*), (.*)\], zero is (\w+):",
        printed,
    ).groups()
    assert float(low) == pytest.approx(0.5 - 0.25 * 12.7, abs=0.4)
    assert float(high) == pytest.approx(0.5 + 0.25 * 12.7, abs=0.4)
    assert zero == "inside"
    said = "test_accuracy: MNISTModel/3 - MNISTModel/1,2 = +0.0000 [+0.0000, +0.0000]"
    assert said in printed
    assert "MNISTModel/2 - MNISTModel/1" not in printed  # seeds of one configuration

    folder = runs.parent / "comparisons" / "1"
    with (folder / "comparison.csv").open(newline="") as file:
        rows = {row[0]: row[1:] for row in csv.reader(file)}
    assert rows["test_loss"] == ["0.5000 +- 0.3536 (2)", "1.0000"]
    page = (folder / "comparison.html").read_text()
    assert page.count("<svg") == 3  # train_loss, val_loss, val_accuracy
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    # Names of XML's own formats are no addresses that a browser asks.
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"|<metadata>.*?</metadata>', "", page, flags=re.S)
    assert not re.search(r"https?://|\bsrc=|url\((?!#)|@import", without_names)
    assert evaluate("compare", "with", "runs=all").count("comparisons/2/") == 2


@pytest.mark.parametrize("words", ["runs=[1]", "runs=[1,1]", "runs=[1,99]", "run=1", "runs=[a"])
def test_what_cannot_be_compared_is_refused(runs_copy, words):
    runs, evaluate = runs_copy
    printed = evaluate("compare", "with", words, check=False)
    assert printed.strip().startswith("UserError: ")
    assert len(printed.strip().splitlines()) == 1
    assert not (runs.parent / "comparisons").exists()


def test_no_interval_without_the_same_test_set(runs_copy):
    runs, evaluate = runs_copy
    edit(runs / "3" / "evaluations" / "1" / "info.json", fingerprint={"other": "file"})
    printed = evaluate("compare", "with", "runs=1,3")
    assert "no interval, because their test sets or evaluators are not the same" in printed
    shutil.rmtree(runs / "3" / "evaluations")
    printed = evaluate("compare", "with", "runs=1,3")
    assert "MNISTModel/3: no interval, because MNISTModel/3 is not evaluated" in printed


def test_seeds_of_one_configuration_are_not_compared(runs_copy):
    _, evaluate = runs_copy
    assert "interval" not in evaluate("compare", "with", "runs=1,2")


def test_of_many_groups_each_is_compared_with_the_best(runs_copy):
    runs, evaluate = runs_copy
    best = min("123", key=lambda n: read(runs / n / "run.json")["result"]["best_val_loss"])
    for number in range(4, 25):
        shutil.copytree(runs / "3", runs / str(number))
        edit(runs / str(number) / "config.json", threads=number)
    printed = evaluate("compare", "with", "runs=all")
    names = {"1": "1,2", "2": "1,2", "3": "3"}
    said = f"23 groups: each against the best one only, MNISTModel/{names[best]}"
    assert said in printed
    assert printed.count("  test_loss: ") == 22


def test_the_bootstrap_agrees_with_theory(tree):
    differences = np.random.default_rng(0).normal(0.3, 2.0, (4000, 1))
    low, high = tree("engine.reports.bootstrap").paired_bootstrap(differences)
    mean, half = differences.mean(), 1.96 * differences.std(ddof=1) / 4000**0.5
    assert low[0] == pytest.approx(mean - half, abs=0.1 * half)
    assert high[0] == pytest.approx(mean + half, abs=0.1 * half)


def test_each_example_is_stored_and_means_to_the_metric(looked_at):
    _, folder, _ = looked_at
    evaluation = folder / "model_data" / "MNISTModel" / "1" / "evaluations" / "1"
    names, *rows = csv.reader((evaluation / "per_example.csv").read_text().splitlines())
    results, columns = read(evaluation / "results.json"), np.array(rows, float).T
    assert len(rows) == 1000
    for name, column in zip(names, columns):
        assert column.mean() == pytest.approx(results[name], rel=1e-12)


def test_clean_says_what_and_deletes_only_that(runs_copy, tmp_path):
    runs, evaluate = runs_copy
    for number, status in (("4", "FAILED"), ("5", "INTERRUPTED")):
        shutil.copytree(runs / "1", runs / number, ignore=shutil.ignore_patterns("*.ckpt"))
        edit(runs / number / "run.json", status=status)
    shutil.copytree(runs / "1", runs / "7")  # its error message promised to keep its checkpoint
    edit(runs / "7" / "run.json", status="FAILED")
    (runs / "2" / "checkpoints" / "last.ckpt.tmp").write_text("half")
    (runs / "3" / "checkpoints" / "best.ckpt").unlink()  # then last.ckpt is all there is
    outside = tmp_path / "outside"
    shutil.copytree(runs / "4", outside)
    (runs / "6").symlink_to(outside)

    def files():
        return {path for path in tmp_path.rglob("*") if path.is_file()}

    before = files()
    printed = evaluate("clean")
    assert files() == before
    for said in ("1/checkpoints/last.ckpt  (superseded", "2/checkpoints/last.ckpt.tmp  (left over"):
        assert said in printed
    assert "MNISTModel/4  (FAILED, no checkpoint)" in printed
    assert "MNISTModel/5  (INTERRUPTED, no checkpoint)" in printed
    assert evaluate("clean", "with", "yes=True").splitlines()[-1].startswith("deleted ")
    gone = before - files()
    assert {path.relative_to(runs).parts[0] for path in gone} == {"1", "2", "4", "5"}
    assert {path.name for path in gone if path.relative_to(runs).parts[0] in "12"} == {
        "last.ckpt",
        "last.ckpt.tmp",
    }
    assert (outside / "run.json").exists()
    assert "there is nothing to clean" in evaluate("clean")


def test_no_runs_yet(looked_at, tmp_path):
    project, _, _ = looked_at
    said = project("evaluate", "runs", cwd=tmp_path).stdout
    assert said.strip() == "there are no runs in model_data/ yet: type `train` first"
    assert not (tmp_path / "model_data").exists()
    project("train", *DEBUG, cwd=tmp_path)
    assert "MNISTModel/1" in project("evaluate", "runs", cwd=tmp_path).stdout


def test_the_interval_of_many_examples_is_that_of_resampling(tree):
    """Above its limit the normal interval stands in for the resampled one: they agree."""
    bootstrap = tree("engine.reports.bootstrap")
    generator = np.random.default_rng(0)
    hits = generator.choice([-1.0, 0.0, 1.0], 12_000, p=[0.1, 0.7, 0.2])
    differences = np.column_stack([hits, generator.normal(size=12_000)])
    ends = bootstrap.paired_bootstrap(differences)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "EXACT", 20_000)
        resampled = bootstrap.paired_bootstrap(differences)
    width = resampled[1] - resampled[0]
    assert (np.abs(ends - resampled) < 0.1 * width).all()


def test_several_seeds_of_two_configurations(tree):
    """Against the known interval: no difference of examples, five seeds on each side."""
    bootstrap = tree("engine.reports.bootstrap")
    seeds = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])[:, None]  # standard error 0.7071
    one = bootstrap.paired_bootstrap(np.full((100, 1), 3.0), seeds=(seeds,))
    assert one[:, 0] == pytest.approx([3 - 2.776 * 0.7071, 3 + 2.776 * 0.7071], abs=0.15)
    both = bootstrap.paired_bootstrap(np.full((20_000, 1), 3.0), seeds=(seeds, seeds))
    # Welch's interval for the same: 8 degrees of freedom, standard error 1. Behrens and Fisher's
    # is somewhat wider.
    assert 2.306 <= (both[1, 0] - both[0, 0]) / 2 <= 3.0
