"""The objects of training that parameters name, as strings: importing them costs no torch."""

from typing import Literal

OPTIMIZER_NAMES = ("adam", "adamw", "sgd")
SCHEDULE_NAMES = ("constant", "linear", "cosine", "one-cycle")
CLASSIFICATION_NAMES = ("cross_entropy", "focal", "squared_hinge")
REGRESSION_NAMES = ("squared_error", "absolute_error", "huber")

# Losses that a convex solver minimises.
Loss = Literal["squared_hinge", "cross_entropy", "squared_error", "absolute_error", "huber"]
