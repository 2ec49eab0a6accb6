"""an evaluation of your own"""

class_name = "CustomEvaluator"
files = ["evaluators/custom_evaluator.py"]
score = "test_accuracy"
baseline = "baseline_accuracy"


class eval_config:
    class evaluator_args:
        batch_size = 512  # examples at a time: speed and memory, not results
