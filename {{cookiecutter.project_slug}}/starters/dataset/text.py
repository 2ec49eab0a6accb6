"""the characters of a text"""

class_name = "CharTextDataset"
files = ["datasets/char_text_dataset.py", "datasets/shakespeare"]
readme = """
`train with dataset_args.path=my_text.txt` learns from your own text; 400 kB of Shakespeare are
bundled.
"""


class train_config:
    class dataset_args:
        path = None  # your own text file, UTF-8; None: the bundled excerpt of Shakespeare
        block_size = 64  # characters that the model sees at once
