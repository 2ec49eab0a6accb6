"""Around and inside trainer.fit: loaders, callbacks, checkpoints, stopping."""
