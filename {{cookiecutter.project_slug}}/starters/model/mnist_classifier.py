"""a two-layer perceptron"""

class_name = "MNISTModel"
files = ["models/mnist_classifier.py"]


class train_config:
    class model_args:
        hidden_dimension = 784  # units of the hidden layer
        learning_rate = 2e-3  # step size of Adam in the first epoch; then it falls

    class dataloader_args:
        batch_size = 32  # examples per optimizer step and process

    class trainer_args:
        max_epochs = 5


class train_config_for:
    class fashion_mnist:
        class trainer_args:
            max_epochs = 15

        class dataloader_args:
            batch_size = 64  # examples per optimizer step and process

    class cifar10:
        class trainer_args:
            max_epochs = 20

        class dataloader_args:
            batch_size = 64  # examples per optimizer step and process

        class model_args:
            learning_rate = 1e-3  # step size of Adam in the first epoch; then it falls

    class image_folder:
        class trainer_args:
            max_epochs = 20
