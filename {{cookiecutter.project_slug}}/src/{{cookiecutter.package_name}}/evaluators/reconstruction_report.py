"""How well a variational autoencoder describes images, and what it imagines."""

from __future__ import annotations

from typing import Protocol

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.data import Dataset

from . import Evaluator


class Autoencoder(Protocol):
    """Reconstructs images when it is called; knows its bound, and draws samples."""

    device: torch.device

    def __call__(self, images: Tensor) -> Tensor: ...

    def bound(self, images: Tensor) -> tuple[Tensor, Tensor]: ...

    def sample(self, size: int) -> Tensor: ...


class ReconstructionReport(Evaluator):
    """Evidence lower bound, reconstruction error and KL divergence, beside one constant image.

    For models whose `bound` gives reconstruction error and KL divergence of each image, and
    datasets of (images, anything) with images `(C, H, W)` in [0, 1]. Writes `reconstructions.png`
    and `samples.png`.

    Args:
        batch_size: images at a time; changes speed and memory, and which chance an image has.
        num_samples: codes that the bound is averaged over, for each image.
        num_pictures: images in a row of the pictures.
        seed: of the codes.
    """

    def __init__(
        self,
        batch_size: int = 512,
        num_samples: int = 4,
        num_pictures: int = 10,
        seed: int = 42,
    ):
        self.check_sizes(batch_size=batch_size, num_samples=num_samples, num_pictures=num_pictures)
        self.batch_size, self.num_samples = batch_size, num_samples
        self.num_pictures, self.seed = num_pictures, seed

    def evaluate(self, model: Autoencoder, dataset: Dataset) -> dict[str, float]:
        """Returns `test_elbo` and its two terms, in nats per image.

        `baseline_elbo` is that of the best constant image, the mean of this split: each pixel a
        Bernoulli variable by itself.
        """
        errors, divergences, sums, square = [], [], torch.zeros(()), 0.0
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            for images, _ in self.pairs(model, dataset, self.batch_size, needs_targets=False):
                terms = [torch.stack(model.bound(images)) for _ in range(self.num_samples)]
                error, divergence = torch.stack(terms).double().mean(0).cpu()
                errors.append(error)
                divergences.append(divergence)
                sums = sums + images.double().sum(0).cpu()
                difference = (model(images) - images).double()
                square += difference.square().sum().item() / difference[0].numel()
            samples = model.sample(self.num_pictures * 4).cpu()
        error, divergence = torch.cat(errors), torch.cat(divergences)
        self.per_example = {"test_elbo": (-error - divergence).tolist()}
        first = [dataset[i][0] for i in range(min(self.num_pictures, len(error)))]
        inputs = torch.stack(first)
        rows = torch.stack((inputs, model(inputs.to(model.device)).cpu()), dim=1)
        labels = ["input", "reconstruction"]
        self.add_figure("reconstructions.png", picture_grid, rows.flatten(0, 1), 2, labels)
        self.add_figure("samples.png", picture_grid, samples, 4)
        return {
            "test_elbo": -(error + divergence).mean().item(),
            "test_reconstruction_error": error.mean().item(),
            "test_kl": divergence.mean().item(),
            "test_mse": square / len(error),
            "baseline_elbo": -constant_image_error(sums / len(error)),
        }


def constant_image_error(mean: Tensor) -> float:
    """Cross-entropy, in nats per image, of predicting each pixel by its mean in [0, 1]."""
    mean = mean.double()
    return -(torch.xlogy(mean, mean) + torch.xlogy(1 - mean, 1 - mean)).sum().item()


def picture_grid(images: Tensor, rows: int, labels: list[str] | None = None) -> Figure:
    """Images `(N, C, H, W)` in [0, 1], column by column, in `rows` rows."""
    columns = len(images) // rows
    figure = Figure(figsize=(0.9 * columns + 1.2, 0.9 * rows + 0.3), layout="constrained")
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).T.flat):
        axes.set_xticks([])
        axes.set_yticks([])
        picture = images[number].permute(1, 2, 0).numpy()
        axes.imshow(
            picture.squeeze(-1) if picture.shape[-1] == 1 else picture, "gray", vmin=0, vmax=1
        )
        if labels and number < rows:
            axes.set_ylabel(labels[number], rotation=0, ha="right", va="center")
    return figure
