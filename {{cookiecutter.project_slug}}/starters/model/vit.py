"""a small vision Transformer"""

class_name = "ViT"
files = ["models/vit.py"]


class train_config:
    class model_args:
        patch_size = 7  # pixels of a patch's side
        num_layers = 4  # Transformer blocks
        num_heads = 4  # attention heads in a block
        embedding_dimension = 64  # width of the residual stream
        dropout = 0.1  # share of activations left out while training
        learning_rate = 2e-3  # highest step size of AdamW

    class dataloader_args:
        batch_size = 64  # examples per optimizer step and process

    class trainer_args:
        max_epochs = 15


class train_config_for:
    class mnist:
        class dataset_args:
            shift = 2  # pixels by which a training image is moved at most, in each direction

    class fashion_mnist:
        class dataset_args:
            shift = 2  # pixels by which a training image is moved at most, in each direction

        class trainer_args:
            max_epochs = 25

    class cifar10:
        class trainer_args:
            max_epochs = 60

        class dataloader_args:
            batch_size = 128  # examples per optimizer step and process

        class model_args:
            patch_size = 4  # pixels of a patch's side
            num_layers = 6  # Transformer blocks
            embedding_dimension = 128  # width of the residual stream
            learning_rate = 1e-3  # highest step size of AdamW

    class image_folder:
        class trainer_args:
            max_epochs = 60

        class dataloader_args:
            batch_size = 32  # examples per optimizer step and process

        class model_args:
            patch_size = 8  # pixels of a patch's side
            learning_rate = 1e-3  # highest step size of AdamW
