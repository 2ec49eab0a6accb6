"""two linear layers for trend and rest"""

class_name = "DLinear"
files = ["models/dlinear.py"]


class train_config:
    class model_args:
        kernel_size = 25  # steps of the moving average that is the trend; odd
        learning_rate = 1e-3  # step size of AdamW in the first epoch; then it falls

    class dataloader_args:
        batch_size = 32  # windows per optimizer step and process

    class trainer_args:
        max_epochs = 20
