"""data of your own"""

class_name = "CustomDataset"
files = ["datasets/custom_dataset.py"]
readme = """
Your data goes into `datasets/custom_dataset.py`, which has two half moons of points as it stands.
"""


class train_config:
    class dataset_args:
        size = 1000  # points in a split
        noise = 0.2  # standard deviation of their distance from a half circle
