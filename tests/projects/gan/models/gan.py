import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn


class GAN(pl.LightningModule):
    """Two networks, two optimizers, steps of its own; what `forward` takes is noise."""

    def __init__(self, noise_dimension: int = 4, width: int = 16):
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.generator = nn.Sequential(
            nn.Linear(noise_dimension, width), nn.ReLU(), nn.Linear(width, 2)
        )
        self.critic = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, noise):
        return self.generator(noise)

    def sample(self, size):
        return self(torch.randn(size, self.hparams.noise_dimension, device=self.device))

    def training_step(self, batch, batch_idx):
        of_generator, of_critic = self.optimizers()
        real, fake = self.critic(batch), self.critic(self.sample(len(batch)).detach())
        loss = F.softplus(-real).mean() + F.softplus(fake).mean()
        of_critic.zero_grad()
        self.manual_backward(loss)
        of_critic.step()
        self.log("train_critic", loss)
        loss = F.softplus(-self.critic(self.sample(len(batch)))).mean()
        of_generator.zero_grad()
        self.manual_backward(loss)
        of_generator.step()
        self.log("train_generator", loss)

    def validation_step(self, batch, batch_idx):
        self.log("val_gap", (self.sample(256).norm(dim=1).mean() - 1).abs())

    def configure_optimizers(self):
        parts = (self.generator, self.critic)
        return [torch.optim.Adam(part.parameters(), lr=1e-3) for part in parts]
