"""One file for each command besides `train` and `evaluate`; runner.py has their table."""
