"""a recurrent network"""

class_name = "LSTM"
files = ["models/lstm.py"]


class train_config:
    class model_args:
        hidden_dimension = 256  # width of the embedding and of each layer
        num_layers = 2  # recurrent layers
        dropout = 0.2  # share of activations left out while training
        learning_rate = 3e-3  # highest step size of AdamW

    class dataloader_args:
        batch_size = 32  # blocks per optimizer step and process

    class trainer_args:
        max_epochs = 12
        gradient_clip_val = 1.0  # longest gradient (Pascanu et al. 2013, arXiv:1211.5063)
