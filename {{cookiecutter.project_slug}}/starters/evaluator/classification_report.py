"""accuracy, precision, recall and F1 of each class, calibration"""

class_name = "ClassificationReport"
files = ["evaluators/classification_report.py"]
score = "test_accuracy"
baseline = "baseline_accuracy"


class eval_config:
    class evaluator_args:
        batch_size = 512  # examples at a time: speed and memory, not results
