"""pictures in folders"""

class_name = "ImageFolderDataset"
files = ["datasets/image_folder_dataset.py", "util/images.py", "util/splits.py"]
tests = ["image_folder_files.py"]
requires = ["pillow"]
readme = """
Put your pictures into `data/images/<class>/`, or into `data/images/train/<class>/`, `val/` and
`test/`. Any size and colours will do; two worker processes decode them.
"""


class train_config:
    class dataset_args:
        data_dir = "data/images"  # one folder a class, in train/, val/ and test/ or not
        image_size = 64  # pixels of a side that the model sees
        channels = 3  # 3: red, green and blue; 1: grey
        shift = 4  # pixels by which a training picture is moved at most, in each direction
        flip = True  # half of the training pictures are mirrored

    class dataloader_args:
        num_workers = 2  # processes that decode ahead
