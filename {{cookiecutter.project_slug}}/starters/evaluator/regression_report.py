"""errors of a number beside those of predicting the mean, predicted against true"""

class_name = "RegressionReport"
files = ["evaluators/regression_report.py"]
score = "test_rmse"
baseline = "baseline_rmse"


class train_config:
    class dataset_args:
        target = "body_mass_g"  # column to predict


class eval_config:
    class evaluator_args:
        batch_size = 512  # examples at a time: speed and memory, not results
