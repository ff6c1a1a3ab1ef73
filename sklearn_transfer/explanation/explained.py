"""The methods of estimators that explain their outputs."""

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
        """Explain outputs by contributions of the tokens of texts, or of numeric features.

        Together with the baseline, contributions add up to the logit of a class, or to the
        prediction of a regressor.

        Parameters
        ----------
        X : like in `fit`
        target : label, list of labels, "all" or None, default=None
            Explained classes, or columns of y. None is the predicted class of each text. If y is an
            indicator matrix, and for regressors, None is all columns. Columns without names are
            numbered.
        method : {"auto", "exact", "integrated_gradients", "occlusion"}, default="auto"
            "auto" is "exact" for linear models, and "integrated_gradients" for others.

        Returns
        -------
        Explanation

        Raises
        ------
        ValueError
            If a target or method is unknown, or if the model is a torch module on arrays, which
            cannot be explained.

        Notes
        -----
        "exact": a linear model on texts is a sum over columns. The contribution of a column is its
        value times its coefficient, in equal parts for each occurrence in the text. The part of a
        word n-gram is divided among its tokens; the part of a character n-gram belongs to the token
        that contains it. Rows of features are scaled by the norms of the text, which depend on all
        of its tokens; contributions are computed with these norms fixed. The intercept and the
        subtracted centre of the pretrained block are the baseline.

        "integrated_gradients" (Sundararajan et al. 2017 [1]_): the gradients at the vectors of the
        tokens, averaged over the straight path from a reference text, times the distance. In the
        reference text, word vectors and numeric features are zero. For a sentence encoder, tokens
        of the reference text are padding, except for special tokens. With hidden layers on pooled
        vectors, the norms of the text are fixed. Intervals of the path are halved until the sum is
        within 1 % of the difference of logits, see `Explanation.gaps`. The contributions of
        sub-word tokens are added up per word.

        "occlusion": the logit of the text minus its logit without the token. The baseline is the
        logit of an empty text. Occlusion is slow, because the time grows with the square of the
        length, and contributions do not add up.

        References
        ----------
        .. [1] Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", ICML 2017.
        """
        fitted = self._explained()
        X = fitted.check(X, self)
        explainer, names = fitted.make_explainer(), getattr(self, "feature_names_in_", None)
        return explain(explainer, fitted.task, X, target, method, names=names)

    def top_tokens(self, target: Any = None, n: int = 10) -> dict[Any, list[tuple[str, float]]]:
        """Rank the words and n-grams of the training texts by their weight for each target.

        The weight of a word is the logit of a text that consists of the word, minus the baseline.
        In the linear model, the column of the word, its character n-grams and its vector add to
        this logit. The weight of a word n-gram is the contribution of its column to the logit of a
        text that consists of the n-gram.

        Parameters
        ----------
        target : label, list of labels, "all" or None, default=None
            None is all targets.
        n : int, default=10
            Number of tokens per target.

        Returns
        -------
        dict of target to list of tuple (token, weight)
            Largest weights first; for a regressor in the units of y, and by absolute value.

        Raises
        ------
        ValueError
            If a target is unknown, or the model does not use word vectors.

        See Also
        --------
        Explanation.top_tokens : Top tokens of given texts, for every kind of model.
        """
        fitted = self._explained()
        return rank_tokens(fitted.make_explainer(), fitted.task, target, n)

    def moved_words(self, n: int = 10, n_neighbours: int = 5) -> list[MovedWord]:
        """Rank the words by the distance that fine-tuning moved their vectors.

        Used by: mini-batch training of word vectors.

        Parameters
        ----------
        n : int, default=10
            Number of words.
        n_neighbours : int, default=5
            Number of neighbours per word, among the words of the training texts.

        Returns
        -------
        list of MovedWord
            Largest distance first, with the attributes `word`, `distance`, and the neighbours
            `before` and `after` fine-tuning. Words without a pretrained vector are left out.

        Raises
        ------
        ValueError
            If no word vectors were trained.

        See Also
        --------
        TokenMapDisplay : Draw a map of these words.
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

        With two classes, there is one row. For a regressor of one target, the array has one
        dimension. `coef_names_` has the names of the columns. For numeric features, these are the
        columns of X. For texts, they are words, n-grams and dimensions of the pretrained vectors,
        with values that are scaled per text. The columns of `transform` are other ones, with the
        names of `get_feature_names_out`.

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
        """Intercepts of a linear model, of shape (n_outputs,); a float if y is a single column."""
        linear = self._linear("intercept_")
        no_columns = np.zeros((len(linear.model.intercept), 0))
        return linear.task.in_units(no_columns, linear.model.intercept)[1]

    @property
    def coef_names_(self) -> NDArray[Any]:
        """Names of the columns of `coef_`.

        Words and word n-grams have names such as ``words__not good``. Names of character n-grams
        are ``characters__ing``, with a space for the end of a word. Names of dimensions are
        ``pretrained__0``, or ``pretrained0__0`` for the first of several sources. Numeric features
        have the names of the columns of X, or ``x0``, ``x1``, ...

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
