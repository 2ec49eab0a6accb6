import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor
from torch import nn

from .layers import Encoder


class Probe(pl.LightningModule):
    """A linear layer on a frozen encoder; needs its Trainer in `training_step`."""

    def __init__(self, num_classes: int, width: int = 32):
        super().__init__()
        self.save_hyperparameters()
        self.encoder = Encoder(width).requires_grad_(False)
        self.head = nn.Linear(width, num_classes)

    def configure_callbacks(self):
        return [EarlyStopping("val_loss", patience=3), LearningRateMonitor()]

    def forward(self, images):
        return self.head(self.encoder(images))

    def training_step(self, batch, batch_idx):
        images, targets = batch
        progress = self.trainer.global_step / self.trainer.estimated_stepping_batches
        return F.cross_entropy(self(images), targets, label_smoothing=0.1 * progress)

    def validation_step(self, batch, batch_idx):
        images, targets = batch
        self.log("val_loss", F.cross_entropy(self(images), targets))

    def configure_optimizers(self):
        return torch.optim.SGD(self.head.parameters(), lr=0.1)


class NeedsWeights(Probe):
    """Cannot be built from defaults."""

    def __init__(self, num_classes: int, weights_path: str):
        super().__init__(num_classes)
        self.encoder.load_state_dict(torch.load(weights_path, weights_only=True))
