"""`evaluate with runs=all`: an evaluation of each finished run that has none yet."""

from __future__ import annotations

import sys

from ..config.invocation import current
from ..errors import UserError
from ..processes import say
from ..runs.finding import all_runs


def evaluate_all(log_dir: str, evaluator_name: str) -> dict[str, float]:
    """Evaluates every finished run that has no evaluation by this evaluator.

    Raises:
        UserError: at least one could not be evaluated; each was named with its reason.
    """
    invocation = current()
    overrides = {key: value for key, value in invocation.overrides.items() if key != "runs"}
    done, refused = 0, 0
    for run in all_runs(log_dir):
        if run.status != "COMPLETED" or evaluator_name in run.evaluators():
            continue
        try:
            invocation.experiment.run("evaluate", config_updates=overrides | {"run": run.name})
            done += 1
        except UserError as refusal:
            print(f"{run.name} is not evaluated: {refusal}", file=sys.stderr)
            refused += 1
        say("")
    say(f"done   {done} runs evaluated by {evaluator_name}, {refused} refused")
    if refused:
        raise UserError(f"{refused} of {done + refused} runs could not be evaluated")
    return {"evaluated": done}
