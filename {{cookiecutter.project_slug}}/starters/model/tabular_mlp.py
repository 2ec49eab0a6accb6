"""a perceptron with embeddings"""

class_name = "TabularMLP"
files = ["models/tabular_mlp.py"]


class train_config:
    class model_args:
        hidden_dimension = 64  # units of each hidden layer
        num_layers = 2  # hidden layers
        embedding_dimension = 8  # numbers that stand for a category
        dropout = 0.1  # share of hidden units left out while training
        learning_rate = 3e-3  # step size of AdamW in the first epoch; then it falls

    class dataloader_args:
        batch_size = 16  # rows per optimizer step and process

    class trainer_args:
        max_epochs = 50
