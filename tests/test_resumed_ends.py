"""A training that ended within an epoch, made longer, goes on with the next batch."""

from __future__ import annotations

import pytest
from helpers import Project, read
from shaky import PLUG_INS, RESUME, TRAIN, differences, outcome

ENDS = """
from pathlib import Path

from pytorch_lightning import Callback


class Ends(Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if Path("ends").exists() and trainer.fit_loop.total_batch_idx == 70:
            trainer.should_stop = True
"""


@pytest.fixture(scope="module")
def ends(copy_project) -> Project:
    return copy_project(PLUG_INS | {"callbacks/ends.py": ENDS})


def words(*more: str) -> list[str]:
    begin = [word for word in TRAIN if "every_s" not in word]
    return [*begin, "callback_names=Ends", *more]


STEPS, LONGER = (
    "trainer_args.max_steps=",
    ["trainer_args.max_epochs=3", "trainer_args.max_steps=-1"],
)
WAYS = {
    "max_steps": ([f"{STEPS}70"], []),
    "in the first epoch": ([f"{STEPS}7"], []),
    "at a validation": ([f"{STEPS}82"], ["trainer_args.val_check_interval=0.5"]),
    "behind a validation": ([f"{STEPS}90"], ["trainer_args.val_check_interval=0.5"]),
    "accumulated gradients": ([f"{STEPS}25"], ["trainer_args.accumulate_grad_batches=3"]),
    "should_stop": ([], []),
    "should_stop within accumulated gradients": ([], ["trainer_args.accumulate_grad_batches=3"]),
    "at the end of an epoch": ([f"{STEPS}110"], []),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_ends_in_the_bits_of_one_that_was_as_long_from_the_start(ends, forks, tmp_path, way):
    end, always = WAYS[way]
    forks.run(ends, *words(*always, "trainer_args.max_epochs=3"), cwd=tmp_path / "whole")
    folder = tmp_path / "extended"
    folder.mkdir()
    if not end:
        (folder / "ends").touch()
    forks.run(ends, *words(*always, "trainer_args.max_epochs=3", *end), cwd=folder)
    (folder / "ends").unlink(missing_ok=True)
    run = folder / "model_data" / "Shaky" / "1"
    result = read(run / "run.json")["result"]
    assert {
        "val_loss",
        "train_loss",
        "best_val_loss",
    } <= result.keys() or way == "in the first epoch"
    printed = forks.run(ends, *RESUME, *LONGER, cwd=folder)
    assert "not to the same bits" not in printed
    whole, extended = outcome(tmp_path / "whole"), outcome(folder)
    if not end:  # it was validated once more, where the other one was not: best.ckpt may be there
        for run in (whole, extended):
            run["steps"] = run["steps"][:1]
            del run["best"]
    assert differences(whole, extended) == []


def test_what_a_position_within_an_epoch_depends_on_is_refused(ends, forks, tmp_path):
    """Each change leaves the number of batches as it is: 55 of six examples, without the last."""
    always = ["dataloader_args.drop_last=True", "dataset_args.size=331"]
    forks.run(ends, *words(*always, f"{STEPS}70"), cwd=tmp_path)
    run = tmp_path / "model_data" / "Shaky" / "1"
    config = read(run / "config.json")
    for change, said in [
        ("dataset_args.size=333", "dataset_args.size: the run was stopped within an epoch"),
        ("seed=1", "seed was 42 and is 1"),
        ("dataloader_args.shuffle=False", "dataloader_args.shuffle was True and is False"),
        ("trainer_args.accumulate_grad_batches=2", "accumulate_grad_batches was 1 and is 2"),
    ]:
        assert forks(ends, tmp_path, [*RESUME, *LONGER, change]) == 1
        printed = (tmp_path / "log.txt").read_text()
        assert said in printed
        assert "Traceback" not in printed
        assert (read(run / "config.json"), read(run / "run.json")["status"]) == (
            config,
            "COMPLETED",
        )
    forks.run(ends, *RESUME, *LONGER, cwd=tmp_path)
    assert forks(ends, tmp_path, [*RESUME, "trainer_args.max_epochs=4", "seed=1"]) == 0
