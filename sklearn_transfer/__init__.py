"""Transfer learning as scikit-learn estimators."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._classifier import FineTunedClassifier
    from ._continued import ContinuedVectors
    from ._model_files import load, save
    from ._regressor import FineTunedRegressor
    from ._transformer import PretrainedEmbeddingTransformer
    from ._utils.errors import MissingDependencyError, ModelFormatError, VectorFormatError
    from .contextual.model import ContextualModel
    from .displays.label_efficiency import LabelEfficiencyDisplay
    from .displays.token_map import TokenMapDisplay
    from .displays.training_curve import TrainingCurveDisplay
    from .evaluation.report import TransferReport
    from .evaluation.transfer import transfer_report
    from .explanation.explanation import Explanation
    from .explanation.views.display import ExplanationDisplay
    from .ranking.ranking import rank_pretrained
    from .sources import load_pretrained
    from .vectors.pretrained_vectors import PretrainedVectors
    from .vectors.storage.cache import cache_info, clear_cache

__version__ = "0.1.0.dev0"

__all__ = [
    "ContextualModel",
    "ContinuedVectors",
    "Explanation",
    "ExplanationDisplay",
    "FineTunedClassifier",
    "FineTunedRegressor",
    "LabelEfficiencyDisplay",
    "MissingDependencyError",
    "ModelFormatError",
    "PretrainedEmbeddingTransformer",
    "PretrainedVectors",
    "TokenMapDisplay",
    "TrainingCurveDisplay",
    "TransferReport",
    "VectorFormatError",
    "cache_info",
    "clear_cache",
    "load",
    "load_pretrained",
    "rank_pretrained",
    "save",
    "transfer_report",
]

# Imported on first use (PEP 562): the command line starts before scikit-learn is imported.
_LAZY = {
    "ContextualModel": ".contextual.model",
    "ContinuedVectors": "._continued",
    "Explanation": ".explanation.explanation",
    "ExplanationDisplay": ".explanation.views.display",
    "FineTunedClassifier": "._classifier",
    "FineTunedRegressor": "._regressor",
    "LabelEfficiencyDisplay": ".displays.label_efficiency",
    "MissingDependencyError": "._utils.errors",
    "ModelFormatError": "._utils.errors",
    "PretrainedEmbeddingTransformer": "._transformer",
    "PretrainedVectors": ".vectors.pretrained_vectors",
    "TokenMapDisplay": ".displays.token_map",
    "TrainingCurveDisplay": ".displays.training_curve",
    "TransferReport": ".evaluation.report",
    "VectorFormatError": "._utils.errors",
    "cache_info": ".vectors.storage.cache",
    "clear_cache": ".vectors.storage.cache",
    "load": "._model_files",
    "load_pretrained": ".sources",
    "rank_pretrained": ".ranking.ranking",
    "save": "._model_files",
    "transfer_report": ".evaluation.transfer",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_LAZY))
