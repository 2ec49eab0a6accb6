"""What Lightning's users do with hooks, trainers, threads and notebooks works here as there."""

from __future__ import annotations

import pytest
from helpers import read
from tiny import plug_ins, recorded, words

MODELS = """
class Hooked(Base):
    def __init__(self):
        super().__init__()
        self.on_train_batch_start = lambda batch, batch_idx: print("set on the instance")

    def training_step(self, batch, batch_idx):
        self.on_before_zero_grad(self.optimizers())
        return self.loss(batch)

    def on_train_batch_end(self, outputs, batch, batch_idx):
        super().on_train_batch_end(outputs, batch, batch_idx)
        print("overridden")


class Looks(Base):
    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(batch))

    def on_train_end(self):
        loader = self.trainer.train_dataloader
        print("shift", loader.dataset.shift["val"], loader.batch_size, len(loader.dataset))
        print("best", self.trainer.checkpoint_callback.best_model_path)
        print("score", float(self.trainer.checkpoint_callback.best_model_score))


class Shows(Base):
    def training_step(self, batch, batch_idx):
        print("batch", batch[0].flatten().tolist())
        return self.loss(batch)
"""


@pytest.fixture(scope="module")
def project(copy_project):
    return copy_project(plug_ins(MODELS))


def test_hooks_are_lightnings(project, forks, tmp_path):
    printed = forks.run(project, *words("Hooked"), cwd=tmp_path)
    assert printed.count("set on the instance\n") == printed.count("overridden\n") == 9


@pytest.mark.parametrize("workers", [0, 2])
def test_what_the_trainer_has_is_what_it_has_in_lightning(project, forks, tmp_path, workers):
    typed = words("Looks", f"dataloader_args.num_workers={workers}", "trainer_args.max_epochs=1")
    printed = forks.run(project, *typed, cwd=tmp_path)
    assert "\nshift 10.0 4 10\n" in printed
    (best,) = [line for line in printed.splitlines() if line.startswith("best ")]
    assert best.endswith("model_data/Looks/1/checkpoints/best.ckpt")
    assert "\nscore 14.5\n" in printed


def test_overfit_batches_are_the_same_each_epoch(project, forks, tmp_path):
    typed = [word for word in words("Shows") if "shuffle" not in word]
    printed = forks.run(project, *typed, "trainer_args.overfit_batches=2", cwd=tmp_path)
    batches = [line for line in printed.splitlines() if line.startswith("batch ")]
    assert batches == batches[:2] * 3


@pytest.mark.parametrize(
    ("profiler", "said"), [("simple", "run_training_batch"), ("advanced", "profile.txt")]
)
def test_a_profiler_reports(project, forks, tmp_path, profiler, said):
    printed = forks.run(project, *words("Looks", f"trainer_args.profiler={profiler}"), cwd=tmp_path)
    assert said in printed
    assert "run_training_batch" in (tmp_path / "model_data/Looks/1/profile.txt").read_text()


def test_training_in_a_thread_and_many_times(project, tmp_path):
    """Called from Python: as in a notebook, whose cells may run in any thread."""
    config = dict(word.split("=", 1) for word in words("Looks")[2:])
    code = f"""
import threading
from {project.package.name}.runner import train_ex

def train(seed):
    groups = {{"seed": seed}}
    for key, value in {config!r}.items():
        *place, name = key.split(".")
        group = groups.setdefault(place[0], {{}}) if place else groups
        group[name] = int(value) if value.isdigit() else value != "False" and value
    results.append(train_ex.run(config_updates=groups).result)

results, failed = [], []
threading.excepthook = lambda told: failed.append(told.exc_value)
for seed in (1, 2):
    train(seed)
    thread = threading.Thread(target=train, args=(seed,))
    thread.start()
    thread.join()
assert not failed, failed
print(len(results), len({{str(result) for result in results}}))
"""
    script = tmp_path / "notebook.py"
    script.write_text(code)
    done = project.run_python(script, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "4 1", done.stdout
    runs = [tmp_path / "model_data/Looks" / str(number) for number in range(1, 5)]
    assert {read(run / "run.json")["status"] for run in runs} == {"COMPLETED"}
    assert len({str(recorded(run)) for run in runs}) == 1
