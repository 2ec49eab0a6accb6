import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn
from torchmetrics.classification import BinaryJaccardIndex


class Segmenter(pl.LightningModule):
    def __init__(self, num_classes: int, width: int = 8, learning_rate: float = 1e-2):
        super().__init__()
        self.save_hyperparameters()
        self.down = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(width, num_classes, 4, stride=2, padding=1)
        self.iou = BinaryJaccardIndex()

    def forward(self, images):
        return {"masks": self.up(F.relu(self.down(images)))}

    def training_step(self, batch, batch_idx):
        images, masks = batch
        return {"loss": F.cross_entropy(self(images)["masks"], masks)}

    def validation_step(self, batch, batch_idx):
        images, masks = batch
        logits = self(images)["masks"]
        self.iou(logits.argmax(1), masks)
        self.log("val_loss", F.cross_entropy(logits, masks))
        self.log("val_iou", self.iou)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)
