from typing import Protocol

from . import Evaluator


class Graphs(Protocol):
    num_classes: int
    graphs: list


class GraphReport(Evaluator):
    def __init__(self, batch_size: int = 16):
        self.check_sizes(batch_size=batch_size)
        self.batch_size = batch_size

    def evaluate(self, model, dataset: Graphs):
        hits = []
        for batch in self.batches(model, dataset, self.batch_size):
            logits = model(batch["nodes"], batch["edges"], batch["owner"])
            hits += (logits.argmax(1) == batch["targets"]).double().tolist()
        return {"test_accuracy": sum(hits) / len(hits)}
