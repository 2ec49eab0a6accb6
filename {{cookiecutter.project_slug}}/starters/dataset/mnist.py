"""MNIST digits"""

class_name = "MNISTDataset"
files = [
    "datasets/mnist_dataset.py",
    "datasets/mnist_sample",
    "util/download.py",
    "util/idx.py",
    "util/images.py",
]
requires = ["filelock", "tqdm"]
readme = """
`train` fetches MNIST (11 MB) into `data/mnist/` once. Without a network it says so and takes the
bundled sample of 5,000 + 1,000 digits; files you put into `data/mnist/` yourself are used as well.
"""


class train_config:
    class dataset_args:
        data_dir = "data/mnist"  # folder of the official files
        source = "auto"  # "full", "sample", or "auto": full if it can be had
