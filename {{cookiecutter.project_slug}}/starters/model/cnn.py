"""a small convolutional network"""

class_name = "CNN"
files = ["models/cnn.py"]


class train_config:
    class model_args:
        width = 16  # channels of the first stage; the second has twice as many
        hidden_dimension = 128  # units of the fully connected layer
        dropout = 0.25  # share of hidden units left out while training
        learning_rate = 2e-3  # step size of AdamW in the first epoch; then it falls

    class dataloader_args:
        batch_size = 64  # examples per optimizer step and process

    class trainer_args:
        max_epochs = 8


class train_config_for:
    class mnist:
        class dataset_args:
            shift = 1  # pixels by which a training image is moved at most, in each direction

    class fashion_mnist:
        class trainer_args:
            max_epochs = 15

        class dataset_args:
            shift = 1  # pixels by which a training image is moved at most, in each direction

    class cifar10:
        class trainer_args:
            max_epochs = 25

        class model_args:
            width = 32  # channels of the first stage; the second has twice as many
            hidden_dimension = 256  # units of the fully connected layer

    class image_folder:
        class trainer_args:
            max_epochs = 25

        class dataloader_args:
            batch_size = 32  # examples per optimizer step and process
