"""A deep-learning project on sacred and PyTorch Lightning: see README.md."""

__version__ = "0.1.0"
