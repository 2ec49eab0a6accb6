"""a residual network"""

class_name = "ResNet"
files = ["models/resnet.py"]


class train_config:
    class model_args:
        depth = 8  # weighted layers, 6 n + 2: 8, 14, 20, 32, 44, 56, 110
        width = 16  # channels of the first stage; doubled by each of the other two
        learning_rate = 0.1  # highest step size of SGD; rises and falls once
        weight_decay = 5e-4  # of SGD

    class dataloader_args:
        batch_size = 64  # examples per optimizer step and process

    class trainer_args:
        max_epochs = 12


class train_config_for:
    class mnist:
        class dataset_args:
            shift = 2  # pixels by which a training image is moved at most, in each direction

    class fashion_mnist:
        class dataset_args:
            shift = 2  # pixels by which a training image is moved at most, in each direction

        class trainer_args:
            max_epochs = 20

        class model_args:
            depth = 14  # weighted layers, 6 n + 2: 8, 14, 20, 32, 44, 56, 110

    class cifar10:
        class trainer_args:
            max_epochs = 40

        class dataloader_args:
            batch_size = 128  # examples per optimizer step and process

        class model_args:
            depth = 20  # weighted layers, 6 n + 2: 8, 14, 20, 32, 44, 56, 110

    class image_folder:
        class trainer_args:
            max_epochs = 40

        class dataloader_args:
            batch_size = 32  # examples per optimizer step and process

        class model_args:
            depth = 14  # weighted layers, 6 n + 2: 8, 14, 20, 32, 44, 56, 110
