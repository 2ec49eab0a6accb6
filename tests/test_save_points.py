"""What a checkpoint needs to resume to the same bits: counters, random states, names of 0.4.0."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def save_points(tree):
    return tree("engine.training.save_points")


def progress(ready, started, processed, completed):
    counts = {"ready": ready, "started": started, "processed": processed, "completed": completed}
    return {"total": counts, "current": dict(counts), "is_last_batch": True}


@pytest.fixture
def loops():
    """Lightning's counters as `_FitLoop.state_dict` has them within a hook: they differ."""
    return {
        "epoch_progress": progress(3, 3, 3, 2),
        "epoch_loop.batch_progress": progress(8, 8, 8, 7),
        "epoch_loop.val_loop.batch_progress": progress(5, 5, 4, 4),
        "epoch_loop.state_dict": {"_batches_that_stepped": 7},
    }


def counts(loops):
    return {
        name.removeprefix("epoch_loop.").removesuffix("_progress"): [
            sorted(set(part[kind].values())) for kind in ("total", "current")
        ]
        for name, part in loops.items()
        if name.endswith("_progress")
    }


def test_counters_agree_at_each_save_point(save_points, loops):
    point, steps = save_points.SavePoint, "epoch_loop.state_dict"
    saved = {p: copy.deepcopy(loops) for p in point}
    for p in point:
        save_points.level_progress(saved[p], p, validated=False)
    assert counts(saved[point.EPOCH]) == {
        "epoch": [[3], [3]],
        "batch": [[7], [0]],
        "val_loop.batch": [[4], [4]],
    }
    # In mid-epoch, Lightning goes back into the epoch whose counters differ.
    assert counts(saved[point.BATCH]) == {
        "epoch": [[2, 3], [2, 3]],
        "batch": [[7], [7]],
        "val_loop.batch": [[4], [4]],
    }
    assert counts(saved[point.VALIDATION]) == {
        "epoch": [[2, 3], [2, 3]],
        "batch": [[7], [7]],
        "val_loop.batch": [[0, 1], [0, 1]],
    }
    assert {p: saved[p][steps] for p in point} == dict.fromkeys(point, loops[steps])
    save_points.level_progress(loops, point.BATCH, validated=True)
    assert loops[steps] == {"_batches_that_stepped": 6}


def test_random_states_are_put_back(tree):
    states = tree("engine.training.random_states")

    def draw():
        return torch.rand(2).tolist(), random.random(), random.gauss(), np.random.rand()

    random.gauss()  # has a second value in store
    before = states.random_states()
    drawn = draw()
    assert draw() != drawn
    states.set_random_states(before)
    assert draw() == drawn


def test_the_best_score_is_never_nan_and_saved_once(tree):
    best = tree("engine.training.best_score").BestScore("accuracy", "max")
    for value, score, is_saved in (
        (float("nan"), None, True),
        (0.5, 0.5, False),
        (0.5, 0.5, True),
        (0.4, 0.5, True),
        (float("nan"), 0.5, True),
        (0.6, 0.6, False),
    ):
        best.is_saved = True
        best.judge({"accuracy": torch.tensor(value), "loss": torch.tensor(9.0)})
        assert (best.score, best.is_saved) == (pytest.approx(score), is_saved)


def test_a_checkpoint_of_0_4_0_has_the_names_of_today(tree, tmp_path):
    files = tree("engine.runs.checkpoint_file")
    rank = {
        "chance": {"cuda": []},
        "sums": [{"log": {"name": "mine"}}],
        "callbacks": {"TrainMetrics": {}},
    }
    metrics = {"mean": {"mean_value": 2.0, "weight": 3.0, "_update_count": 4}}
    old = {
        "moment": "batch",
        "batches": 7,
        "next_log_step": 5,
        "callback_metrics": {"val_loss": 1.0},
        "ranks": [rank | {"metrics": metrics}],
    }
    today = {
        "save_point": "batch",
        "num_training_batches": 7,
        "next_log_step": 5,
        "callback_metrics": {"val_loss": 1.0},
        "ranks": [
            {
                "random_states": {"cuda": []},
                "sums": [{"log": {"name": "mine"}}],
                "callbacks": {"TrainMetrics": {}},
                "metrics": {
                    "mean": {"state": {"mean_value": 2.0, "weight": 3.0}, "update_count": 4}
                },
            }
        ],
    }
    content = {"exact": old}
    assert files.resume_state(content) == files.resume_state(content) == today
    assert files.resume_state({files.RESUME_STATE: today}) == today
    assert files.resume_state({"state_dict": {}}) is None
