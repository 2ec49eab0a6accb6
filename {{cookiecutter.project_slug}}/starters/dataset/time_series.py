"""series in time order"""

class_name = "TimeSeriesDataset"
files = ["datasets/time_series_dataset.py", "datasets/mauna_loa", "util/tables.py"]
readme = """
`train with dataset_args.path=my_table.csv dataset_args.time=date` learns from your own table, of
one or more series; carbon dioxide at Mauna Loa, week by week, is bundled. `window`, `horizon` and
`season` are counted in rows.
"""


class train_config:
    class dataset_args:
        path = None  # your own table, CSV; None: the bundled one of CO2 at Mauna Loa
        time = "date"  # column of the time; None: rows are equally far apart
        window = 104  # steps that the model sees
        horizon = 26  # steps that it forecasts
        season = 52  # steps after which the series repeats itself, roughly; 1: it does not
