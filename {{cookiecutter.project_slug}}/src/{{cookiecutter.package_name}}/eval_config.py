"""Everything `evaluate` can vary, with its defaults. Model and data come from the run's record.

evaluate with run=3
evaluate with run=MyCoolIdea/2
evaluate with run=best
evaluate with checkpoint_path=model_data/MyCoolIdea/2/checkpoints/last.ckpt
"""

from __future__ import annotations

from .engine.config import make_experiment, to_dict

evaluation_ex = make_experiment("evaluate", __doc__)


@evaluation_ex.config
def config():
    """Evaluates the newest finished run on the official test split."""

    # "last": the newest finished run; "best": the best value of its metric on its dataset; or a
    # number, or "MyCoolIdea/2".
    run = "last"  # "last", "best", 3, or "MyCoolIdea/2"
    runs = None  # "all": every finished run without an evaluation by this evaluator
    checkpoint_path = None  # a checkpoint in a run's folder, instead of the run's best one
    model_name = "MNISTModel"  # whose runs a bare number means
    evaluator_name = "ClassificationReport"  # a class in evaluators/
    device = "auto"  # "cpu", "cuda", "cuda:1", "mps"; auto: the accelerator if there is one
    log_dir = "model_data"  # folder of all runs
    seed = 42  # seeds every random generator that an evaluator draws from

    @to_dict
    class model_args:
        pass  # as stored with the run, unless set here

    @to_dict
    class dataset_args:
        pass  # the run's own, unless set here

    @to_dict
    class evaluator_args:
        batch_size = 512  # examples at a time: speed and memory, not results
