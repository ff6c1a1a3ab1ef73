"""The estimator behind a display, and the import of matplotlib."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._fine_tuned import FineTuned
from .._utils.display.characters import make_safe
from .._utils.optional import import_optional


def find_fine_tuned(estimator: Any, display: type) -> FineTuned:
    """Return the fitted estimator, or the last step of a pipeline; TypeError for other types."""
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(last, FineTuned):
        raise TypeError(
            f"{display.__name__} expected a fitted FineTunedClassifier or FineTunedRegressor, or a "
            f"pipeline that ends in one, got {type(last).__name__}. Of a search, give its "
            f"best_estimator_."
        )
    check_is_fitted(last)
    return last


def import_pyplot(display: object) -> Any:
    """Import matplotlib.pyplot for the method `plot` of a display."""
    purpose = f"{type(display).__name__}.plot"
    return import_optional("matplotlib.pyplot", extra="plot", purpose=purpose)


def show_legend(ax: Any, **options: Any) -> Any:
    """Add a legend that shows labels unchanged: dollar signs begin no formula."""
    legend = ax.legend(**options)
    for text in legend.get_texts():
        text.set_parse_math(False)
        text.set_text(make_safe(text.get_text()))
    return legend
