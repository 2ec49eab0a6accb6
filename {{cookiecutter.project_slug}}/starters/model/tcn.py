"""a temporal convolutional network"""

class_name = "TCN"
files = ["models/tcn.py"]


class train_config:
    class model_args:
        channels = 32  # of each block
        kernel_size = 3  # steps that a convolution sees
        dropout = 0.1  # share of channels left out while training
        learning_rate = 1e-3  # step size of AdamW in the first epoch; then it falls

    class dataloader_args:
        batch_size = 32  # windows per optimizer step and process

    class trainer_args:
        max_epochs = 20
