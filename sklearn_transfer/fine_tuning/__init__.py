"""One fit: configuration, inputs, targets, training, calibration.

The modules that train need torch, and are imported at the first fit: an estimator can be made, and
a saved linear model predicts, without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import find_seed, resolve
    from .fit import Fit
    from .fitted.encoded import explain_encoded
    from .fitted.restoring import restore
    from .inputs import find_kind
    from .inputs.arrays import ModuleInputs
    from .inputs.module_features import ModuleFeatures
    from .inputs.sentences import SentenceInputs
    from .selection import select_policy
    from .semi_supervised.self_training import SelfTrainer
    from .usage import choose_named, warn_unused

__all__ = [
    "Fit",
    "ModuleFeatures",
    "ModuleInputs",
    "SelfTrainer",
    "SentenceInputs",
    "choose_named",
    "explain_encoded",
    "find_kind",
    "find_seed",
    "resolve",
    "restore",
    "select_policy",
    "warn_unused",
]

_LAZY = {
    "Fit": ".fit",
    "ModuleFeatures": ".inputs.module_features",
    "ModuleInputs": ".inputs.arrays",
    "SelfTrainer": ".semi_supervised.self_training",
    "SentenceInputs": ".inputs.sentences",
    "choose_named": ".usage",
    "explain_encoded": ".fitted.encoded",
    "find_kind": ".inputs",
    "find_seed": ".config",
    "resolve": ".config",
    "restore": ".fitted.restoring",
    "select_policy": ".selection",
    "warn_unused": ".usage",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name], __name__), name)
