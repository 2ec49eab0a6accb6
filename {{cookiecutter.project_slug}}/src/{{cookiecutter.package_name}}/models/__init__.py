"""One LightningModule a file, found by its class name: `train with model_name=MyCoolIdea`."""
