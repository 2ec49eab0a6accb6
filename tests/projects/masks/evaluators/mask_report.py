from torchmetrics.functional.classification import binary_jaccard_index

from . import Evaluator


class MaskReport(Evaluator):
    def __init__(self, batch_size: int = 16):
        self.batch_size = batch_size

    def evaluate(self, model, dataset):
        overlaps = [
            binary_jaccard_index(preds, masks).item()
            for images, mask in self.batches(model, dataset, self.batch_size)
            for preds, masks in zip(model(images)["masks"].argmax(1), mask)
        ]
        self.per_example = {"test_iou": overlaps}
        self.add_table("overlaps.csv", ("example", "iou"), enumerate(overlaps))
        return {"test_iou": sum(overlaps) / len(overlaps)}
