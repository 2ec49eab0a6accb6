"""`evaluate with runs=all`: an evaluation of each finished run whose checkpoint has none yet."""

from __future__ import annotations

import sys

from ..config.invocation import current
from ..errors import Interrupted, UserError
from ..processes import say
from ..runs.evaluations import is_evaluated
from ..runs.finding import every_run


def evaluate_all(log_dir: str, evaluator_name: str) -> dict[str, float]:
    """Evaluates every finished run whose checkpoint has no evaluation by this evaluator.

    Trial runs are passed over.

    Raises:
        UserError: at least one could not be evaluated; each was named with its reason.
    """
    invocation = current()
    overrides = {key: value for key, value in invocation.overrides.items() if key != "runs"}
    done = refused = passed_over = 0
    for path, run in every_run(log_dir):
        name = f"{path.parent.name}/{path.name}"
        try:
            if isinstance(run, UserError):
                raise run
            if run.status == "COMPLETED" and run.trial:
                passed_over += 1
                continue
            if run.status != "COMPLETED" or is_evaluated(run, evaluator_name):
                continue
            invocation.experiment.run("evaluate", config_updates=overrides | {"run": name})
            done += 1
        except Interrupted:
            raise
        except (Exception, SystemExit) as error:  # whatever a class of the user's own raises
            what = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            refusal = UserError(f"{name} is not evaluated: {what}{error}")
            print(refusal, file=sys.stderr, flush=True)
            refused += 1
        say("")
    also = f", {passed_over} trial runs passed over" if passed_over else ""
    say(f"done   {done} runs evaluated by {evaluator_name}, {refused} refused{also}")
    if refused:
        raise UserError(f"{refused} of {done + refused} runs could not be evaluated")
    return {"evaluated": done}
