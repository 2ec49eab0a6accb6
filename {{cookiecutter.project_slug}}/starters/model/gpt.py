"""a small GPT"""

class_name = "GPT"
files = ["models/gpt.py"]


class train_config:
    class model_args:
        num_layers = 4  # Transformer blocks
        num_heads = 4  # attention heads in a block
        embedding_dimension = 128  # width of the residual stream
        dropout = 0.1  # share of activations left out while training
        learning_rate = 3e-3  # highest step size of AdamW

    class dataloader_args:
        batch_size = 32  # blocks per optimizer step and process

    class trainer_args:
        max_epochs = 6
