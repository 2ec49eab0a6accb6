"""errors of forecasts beside those of repeating the last season"""

class_name = "ForecastReport"
files = ["evaluators/forecast_report.py"]
score = "test_mase"
baseline = "baseline_mase"


class eval_config:
    class evaluator_args:
        batch_size = 512  # windows at a time: speed and memory, not results
