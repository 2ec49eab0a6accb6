"""One evaluator a file, found by its class name: `evaluate with evaluator_name=MyReport`."""

from ..engine.contracts import Evaluator

__all__ = ["Evaluator"]
