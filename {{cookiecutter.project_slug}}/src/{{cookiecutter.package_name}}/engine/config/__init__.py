"""From the words typed to a checked configuration. Never imports torch."""

from .experiment import make_experiment, to_dict

__all__ = ["make_experiment", "to_dict"]
