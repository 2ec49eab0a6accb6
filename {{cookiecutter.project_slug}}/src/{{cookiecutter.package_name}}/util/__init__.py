"""What the runner stands on; a new model, dataset or evaluator needs nothing from here."""
