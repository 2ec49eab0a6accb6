"""Everything `train` can vary, with its defaults. A change here is for good; for one run, say

    train with model_args.learning_rate=3e-4 trainer_args.max_epochs=10

A group takes every argument of the class that it feeds, listed here or not. What a model needs
and a dataset knows (the number of classes, say) is taken from the dataset.
"""

from __future__ import annotations

from .engine.config import make_experiment, to_dict

train_ex = make_experiment("train", __doc__)


@train_ex.config
def config():
    """A two-layer perceptron on MNIST digits."""
    # That docstring stays first: without it sacred drops the decorator of a group below it.

    model_name = "MNISTModel"  # a class in models/
    dataset_name = "MNISTDataset"  # a class in datasets/
    monitor = "val_loss"  # metric that tells the best checkpoint
    monitor_mode = "min"  # "min" or "max": what is better
    early_stopping_patience = None  # validations without improvement to wait for; None: no limit
    checkpoint_every_s = 300.0  # seconds between checkpoints, besides one after each epoch
    callback_names = []  # classes in callbacks/, in the order in which they run
    resume = None  # "last", 3, "MyCoolIdea/2" or a checkpoint: goes on in that run's folder
    log_dir = "model_data"  # folder of all runs
    seed = 42  # seeds weight initialisation, data order and every other random generator
    threads = 1  # of each process; 1 shares a machine well, more pay for large models
    compile = False  # torch.compile: faster steps after a minute of compiling

    @to_dict
    class model_args:
        hidden_dimension = 784  # units of the hidden layer
        learning_rate = 2e-3  # step size of Adam in the first epoch; then it falls

    @to_dict
    class dataset_args:
        data_dir = "data/mnist"  # folder of the official files
        source = "auto"  # "full", "sample", or "auto": full if it can be had

    @to_dict
    class dataloader_args:
        batch_size = 32  # examples per optimizer step and process
        num_workers = 0  # processes that read ahead; data in memory need none

    @to_dict
    class callback_args:
        pass  # EMA = {"decay": 0.99}: what a class in callbacks/ is made with

    @to_dict
    class trainer_args:
        max_epochs = 5
        accelerator = "auto"  # "cpu", "gpu", ...; auto: the best there is
        devices = 1  # processes


@train_ex.named_config
def debug():
    """One batch of everything: does it run at all?"""
    trainer_args = dict(
        max_epochs=1, limit_train_batches=1, limit_val_batches=1, log_every_n_steps=1
    )


@train_ex.named_config
def overfit():
    """The same four batches again and again: the loss should go to zero."""
    trainer_args = dict(
        max_epochs=100, limit_train_batches=4, limit_val_batches=0, log_every_n_steps=4
    )
    dataloader_args = dict(shuffle=False)


@train_ex.named_config
def profile():
    """One epoch, and a table of where the time went."""
    trainer_args = dict(max_epochs=1, profiler="simple")
