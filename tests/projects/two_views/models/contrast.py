import copy

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn


class Contrast(pl.LightningModule):
    """Contrastive learning with a slow teacher, whose weights have no gradients."""

    def __init__(self, num_inputs: int, width: int = 16, momentum: float = 0.9):
        super().__init__()
        self.save_hyperparameters()
        self.student = nn.Sequential(nn.Linear(num_inputs, width), nn.BatchNorm1d(width))
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    def forward(self, view):
        return F.normalize(self.student(view), dim=1)

    def _loss(self, batch):
        first, second = batch
        with torch.no_grad():
            keys = F.normalize(self.teacher(second), dim=1)
        logits = self(first) @ keys.T / 0.1
        return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))

    def training_step(self, batch, batch_idx):
        return self._loss(batch)

    def on_train_batch_end(self, outputs, batch, batch_idx):
        for slow, fast in zip(self.teacher.parameters(), self.student.parameters()):
            slow.lerp_(fast.detach(), 1 - self.hparams.momentum)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self._loss(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.student.parameters(), lr=0.1)
