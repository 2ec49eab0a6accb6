"""A variational autoencoder: learns what images are made of, without labels.

Kingma and Welling 2013, *Auto-encoding variational Bayes* (arXiv:1312.6114): a Gaussian code with a
diagonal covariance, and pixels that are Bernoulli variables with their intensity as probability.

Shapes: B batch, Z latent_dimension.
"""

from __future__ import annotations

import math

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from ..util.util import with_linear_decay


class VAE(pl.LightningModule):
    """Perceptrons that encode images to a distribution of codes, and decode codes to images.

    Args:
        input_shape: of one image, `(channels, height, width)`; known by the dataset.
        latent_dimension: Z, numbers in a code.
        hidden_dimension: units of the hidden layers, two of the encoder and two of the decoder.
        beta: weight of the KL divergence in the loss; 1 is the evidence lower bound (ELBO).
        learning_rate: step size of Adam (Kingma and Ba 2015, arXiv:1412.6980) in the first epoch;
            falls linearly, epoch by epoch, towards zero after the last.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        latent_dimension: int = 20,
        hidden_dimension: int = 400,
        beta: float = 1.0,
        learning_rate: float = 1e-3,
    ):
        super().__init__()
        self.save_hyperparameters()
        pixels, width = math.prod(input_shape), hidden_dimension
        self.encoder = _perceptron(pixels, width, 2 * latent_dimension)
        self.decoder = _perceptron(latent_dimension, width, pixels)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of the codes, each `(B, Z)`, of images in [0, 1]."""
        return self.encoder(images.flatten(1)).chunk(2, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Logits of the pixels of codes `(B, Z)`: `(B, *input_shape)`."""
        return self.decoder(codes).unflatten(1, self.hparams.input_shape)

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructs images `(B, *input_shape)` in [0, 1] from the means of their codes."""
        return self.decode(self.encode(images)[0]).sigmoid()

    def bound(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The two terms of -ELBO for each image, from one sample of its code (equation 10).

        Returns:
            Reconstruction error (cross-entropy over the pixels) and KL divergence of the code's
            distribution from the standard normal one, each `(B,)`, in nats.
        """
        mean, log_variance = self.encode(images)
        codes = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        errors = F.binary_cross_entropy_with_logits(self.decode(codes), images, reduction="none")
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
        return errors.flatten(1).sum(1), divergence.sum(1)

    @torch.inference_mode()
    def sample(self, size: int) -> Tensor:
        """Images `(size, *input_shape)` in [0, 1] of codes drawn from the standard normal."""
        codes = torch.randn(size, self.hparams.latent_dimension, device=self.device)
        return self.decode(codes).sigmoid()

    def training_step(self, batch, batch_idx):
        error, divergence = self.bound(batch[0])  # batch[1], if there, are labels
        loss = (error + self.hparams.beta * divergence).mean()  # nats per image
        return {"loss": loss, "kl": divergence.mean().detach()}

    def validation_step(self, batch, batch_idx):
        error, divergence = self.bound(batch[0])
        metrics = {"val_loss": (error + divergence).mean(), "val_kl": divergence.mean()}
        self.log_dict(metrics, batch_size=len(error), sync_dist=True)

    def configure_optimizers(self):
        optimizer = Adam(self.parameters(), lr=self.hparams.learning_rate, fused=True)
        return with_linear_decay(optimizer, self.trainer)


def _perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, outputs),
    )
