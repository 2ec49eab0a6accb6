from . import Evaluator


class NeedsAThreshold(Evaluator):
    def __init__(self, threshold: float):
        self.threshold = threshold

    def evaluate(self, model, dataset):
        return {"test_share": 0.0}
