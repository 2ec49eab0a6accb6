from pytorch_lightning import Callback


class StepCounter(Callback):
    def __init__(self, every: int = 1):
        self.every, self.steps = every, 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.steps += 1

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]
