"""a variational autoencoder"""

class_name = "VAE"
files = ["models/vae.py"]


class train_config:
    class model_args:
        latent_dimension = 20  # numbers in a code
        hidden_dimension = 400  # units of each hidden layer
        beta = 1.0  # weight of the KL divergence in the loss
        learning_rate = 1e-3  # step size of Adam in the first epoch; then it falls

    class dataloader_args:
        batch_size = 64  # examples per optimizer step and process

    class trainer_args:
        max_epochs = 30


class train_config_for:
    class cifar10:
        class dataset_args:
            shift = 0  # pixels by which a training image is moved at most, in each direction

        class model_args:
            latent_dimension = 64  # numbers in a code
            hidden_dimension = 512  # units of each hidden layer

    class image_folder:
        class dataset_args:
            image_size = 32  # pixels of a side that the model sees
            shift = 0  # pixels by which a training picture is moved at most, in each direction
