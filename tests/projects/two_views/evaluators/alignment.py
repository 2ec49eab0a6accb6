from . import Evaluator


class Alignment(Evaluator):
    """How near the two views of a point are: mean cosine."""

    def evaluate(self, model, dataset):
        cosines = []
        for first, second in self.batches(model, dataset, 16):
            cosines += (model(first) * model(second)).sum(1).tolist()
        return {"test_alignment": sum(cosines) / len(cosines)}
