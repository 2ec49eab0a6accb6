"""the rows of a table"""

class_name = "CSVDataset"
files = ["datasets/csv_dataset.py", "datasets/penguins", "util/splits.py", "util/tables.py"]
readme = """
`train with dataset_args.path=my_table.csv dataset_args.target=price` learns from your own table;
the Palmer penguins are bundled. Columns that are no use are left out with
`dataset_args.ignore=name,id`; numbers that are categories are named in `dataset_args.categories`.
"""


class train_config:
    class dataset_args:
        path = None  # your own table, CSV; None: the bundled one of penguins
        target = "species"  # column to predict
