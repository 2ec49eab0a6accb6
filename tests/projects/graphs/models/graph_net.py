import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn


class GraphNet(pl.LightningModule):
    def __init__(self, num_features: int, num_classes: int, width: int = 16):
        super().__init__()
        self.save_hyperparameters()
        self.message = nn.Linear(num_features, width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, nodes, edges, owner):
        messages = F.relu(self.message(nodes))
        received = messages.index_add(0, edges[1], messages[edges[0]])
        graphs = torch.zeros(int(owner.max()) + 1, received.shape[1], device=nodes.device)
        return self.head(graphs.index_add(0, owner, received))

    def _loss(self, batch):
        logits = self(batch["nodes"], batch["edges"], batch["owner"])
        return F.cross_entropy(logits, batch["targets"])

    def training_step(self, batch, batch_idx):
        loss = self._loss(batch)
        self.log("train_loss", loss, batch_size=len(batch["targets"]))
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self._loss(batch), batch_size=len(batch["targets"]))

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]
