"""CIFAR-10 photographs"""

class_name = "CIFAR10Dataset"
files = ["datasets/cifar10_dataset.py", "util/download.py", "util/images.py"]
tests = ["cifar10_files.py"]
requires = ["filelock", "tqdm"]
readme = """
`train` fetches CIFAR-10 (170 MB, the binary version) into `data/cifar10/` once; `.bin` files of the
same format and names that you put there yourself are used as well.
"""


class train_config:
    class dataset_args:
        data_dir = "data/cifar10"  # folder of the official .bin files
        shift = 4  # pixels by which a training image is moved at most, in each direction
        flip = True  # half of the training images are mirrored
