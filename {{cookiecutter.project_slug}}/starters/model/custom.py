"""a model of your own"""

class_name = "CustomModel"
files = ["models/custom_model.py"]


class train_config:
    class model_args:
        hidden_dimension = 64  # width of the hidden layer
        learning_rate = 3e-3  # step size of Adam

    class dataloader_args:
        batch_size = 32  # examples per optimizer step and process

    class trainer_args:
        max_epochs = 10
