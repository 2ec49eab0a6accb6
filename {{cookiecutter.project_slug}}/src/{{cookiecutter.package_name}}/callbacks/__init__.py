"""One callback a file, found by its class name: `train with callback_names=MyCallback`."""
