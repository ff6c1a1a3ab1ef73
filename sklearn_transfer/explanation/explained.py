"""The methods of estimators that explain what they have learned."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from .explain import explain
from .explanation import Explanation
from .moved_words import MovedWord, find_moved_words
from .top_tokens import rank_tokens


class ExplainsOutputs:
    """An estimator whose outputs can be explained; `_fitted` holds the model."""

    def explain(self, X: Any, target: Any = None, method: str = "auto") -> Explanation:
        """Explain outputs by contributions of the tokens of texts, or of given features.

        The sum of the contributions and of the baseline is the logit of a class, or the value that
        a regressor predicts.

        Parameters
        ----------
        X : like in `fit`
        target : label, list of labels, "all" or None, default=None
            Explained classes. None is the predicted class of each text; for labels that are
            independent (y is an indicator matrix), and for the columns of y of a regressor, all.
            Columns without names are numbered.
        method : {"auto", "exact", "integrated_gradients", "occlusion"}, default="auto"
            "auto" is "exact" for linear models, and "integrated_gradients" for others.

        Returns
        -------
        Explanation

        Raises
        ------
        ValueError
            If a target or method is unknown, or if the model cannot be explained: a torch module
            that reads arrays.

        Notes
        -----
        "exact": a linear model on texts is a sum over columns. A column has its contribution, the
        value times the coefficient, in equal parts from its occurrences in the text; that of a word
        n-gram is shared by its tokens, and that of a character n-gram belongs to the token that
        contains it. The rows of the features are scaled to fixed norms, which depend on all tokens
        of the text: contributions are those at the norms of this text. The intercept and the
        centre of the pretrained block, which is subtracted, are the baseline.

        "integrated_gradients" (Sundararajan et al. 2017 [1]_): gradients at the vectors of the
        tokens, averaged on the straight path from a reference text, times the distance. In the
        reference text each word vector is zero; in one for a sentence encoder, the tokens other
        than special ones are padding; given features are zero. Under hidden layers, the pooled
        vectors of a text grow at the norms of this text. Parts of the path are halved until the sum
        is within 1 % of the difference of logits, see `Explanation.gaps`. The pieces of a word are
        added up.

        "occlusion": the logit minus that without the token. It is slow, for the time grows with
        the square of the length, and contributions do not add up; the baseline is the logit of an
        empty text.

        References
        ----------
        .. [1] Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", ICML 2017.
        """
        fitted = self._explained()
        X = fitted.check(X, self)
        explainer, names = fitted.make_explainer(), getattr(self, "feature_names_in_", None)
        return explain(explainer, fitted.task, X, target, method, names=names)

    def top_tokens(self, target: Any = None, n: int = 10) -> dict[Any, list[tuple[str, float]]]:
        """The words of the training texts that speak most for each target.

        The weight of a word is the logit of a text that consists of it, minus the baseline: for the
        linear model, with its own column, its characters and its vector. That of a word n-gram is
        the contribution of its column in a text that consists of it.

        Parameters
        ----------
        target : label, list of labels, "all" or None, default=None
            None is all targets.
        n : int, default=10
            The number of tokens for each target.

        Returns
        -------
        dict of target to list of tuple (token, weight)
            The largest weights first; for a regressor, in the units of y and by absolute value.

        Raises
        ------
        ValueError
            If a target is unknown, or the texts are not read by word vectors.

        See Also
        --------
        Explanation.top_tokens : The same for some texts, and for every kind of model.
        """
        fitted = self._explained()
        return rank_tokens(fitted.make_explainer(), fitted.task, target, n)

    def moved_words(self, n: int = 10, n_neighbours: int = 5) -> list[MovedWord]:
        """The words whose vectors fine-tuning moved most, and their neighbours before and after.

        Used by: mini-batch training of word vectors.

        Parameters
        ----------
        n : int, default=10
            The number of words.
        n_neighbours : int, default=5
            The number of neighbours of each, among the words of the training texts.

        Returns
        -------
        list of MovedWord
            With the attributes `word`, `distance`, `before` and `after`, the largest distance
            first. Words without a pretrained vector are left out.

        Raises
        ------
        ValueError
            If no word vectors were trained.

        See Also
        --------
        TokenMapDisplay : A map of these words.
        """
        compared = self._explained().compare_rows()
        if compared is None:
            raise ValueError(
                f"moved_words needs word vectors that were trained in mini-batches; those of this "
                f"{type(self).__name__} are fixed. Set optimizer='adam', or give an encoder such "
                f"as 'cnn'. top_tokens names the words that a linear model has learned."
            )
        words, before, after = compared
        return find_moved_words(words, before, after, n, n_neighbours)

    @property
    def coef_(self) -> NDArray[np.floating]:
        """Coefficients of a linear model, of shape (n_outputs, n_columns) as in scikit-learn.

        Two classes have one row, a regressor of one target has one dimension. `coef_names_` names
        the columns. Those of given features are the columns of X; those of texts are words, n-grams
        and dimensions of the pretrained vectors, whose values are scaled for each text. They are
        not the columns of `transform`, which `get_feature_names_out` names.

        Returns
        -------
        ndarray of float
        """
        linear = self._linear("coef_")
        weights = np.concatenate([linear.model.token_weights, linear.model.head]).T
        weights = weights * linear.design.coefficient_scale
        coefficients: NDArray[np.floating]
        coefficients, _ = linear.task.in_units(weights, linear.model.intercept)
        return coefficients

    @property
    def intercept_(self) -> Any:
        """Intercepts of a linear model, of shape (n_outputs,); a float of a single y."""
        linear = self._linear("intercept_")
        no_columns = np.zeros((len(linear.model.intercept), 0))
        return linear.task.in_units(no_columns, linear.model.intercept)[1]

    @property
    def coef_names_(self) -> NDArray[Any]:
        """Names of the columns of `coef_`.

        Words and word n-grams are called ``words__not good``, character n-grams
        ``characters__ing``, with a space for the end of a word, and dimensions ``pretrained__0``,
        or ``pretrained0__0`` for the first of several sources. Given features have the names of the
        columns of X, or are called ``x0``, ``x1``, ...

        Returns
        -------
        ndarray of str, shape (n_columns,)
        """
        linear = self._linear("coef_names_")
        names = getattr(self, "feature_names_in_", None)
        return np.array(linear.design.column_names() if names is None else names, dtype=object)

    def _explained(self) -> Any:
        check_is_fitted(self)
        return self._fitted  # type: ignore[attr-defined]

    def _linear(self, name: str) -> Any:
        linear = self._explained().as_linear()
        if linear is None:
            raise AttributeError(
                f"{name} needs a linear model, and this {type(self).__name__} has hidden layers or "
                f"trains its encoder. The contributions of tokens are given by explain."
            )
        return linear
