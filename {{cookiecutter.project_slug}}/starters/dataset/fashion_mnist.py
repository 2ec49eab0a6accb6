"""Fashion-MNIST pictures of clothing"""

class_name = "FashionMNISTDataset"
files = ["datasets/fashion_mnist_dataset.py", "util/download.py", "util/idx.py", "util/images.py"]
tests = ["fashion_mnist_files.py"]
requires = ["filelock", "tqdm"]
readme = """
`train` fetches Fashion-MNIST (31 MB) into `data/fashion_mnist/` once; files of the same format and
names that you put there yourself are used as well.
"""


class train_config:
    class dataset_args:
        data_dir = "data/fashion_mnist"  # folder of the official files
        flip = True  # half of the training images are mirrored
