"""The methods of fitted estimators that write the formats of other programs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..fine_tuning.fitted.prediction import Predictor
from .card import write_card
from .onnx import find_exported, write_onnx
from .onnx_words import Vectors
from .static import StaticFormat, write_static


class Exports(BaseEstimator):
    """A fitted estimator that can be written in the formats of other programs."""

    _fitted: Predictor

    def export_static(
        self, path: str | os.PathLike[str], *, format: StaticFormat = "model2vec"
    ) -> None:
        """Write the fine-tuned word vectors as a folder for other programs.

        Parameters
        ----------
        path : str or path
            A folder that does not exist, is empty, or was written by an earlier export. It is
            replaced atomically.
        format : {"model2vec", "sentence-transformers"}, default="model2vec"
            The folder is opened by ``model2vec.StaticModel.from_pretrained`` or
            ``SentenceTransformer``.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If the word vectors were not trained, as in the default model, or if the folder cannot
            express the tokenizer of the model.
        FileExistsError
            If `path` contains files that this package did not write.
        MissingDependencyError
            If the extra ``static`` is not installed.

        Notes
        -----
        The folder contains the words of the training texts, and the weights of `weighting`.
        """
        check_is_fitted(self)
        fitted = self._fitted
        write_static(fitted if fitted.is_convex else fitted.resume(), path, format)

    def export_onnx(self, path: str | os.PathLike[str], *, vectors: Vectors = "all") -> None:
        """Write an ONNX file that maps token ids to probabilities, or to the values of a regressor.

        Parameters
        ----------
        path : str or path
            The file, such as ``model.onnx``. It is replaced atomically.
        vectors : {"all", "used"}, default="all"
            Words with a pretrained vector in the file. "used" includes only the words of the
            training texts, in a smaller file; other words then have no effect.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If a graph cannot express the model: arrays, numeric features, several sources with a
            sentence encoder, an encoder of your own, half precision, or computed vectors of
            unknown words. Also above 2 GiB.
        MissingDependencyError
            If the extra ``onnx`` is not installed.

        See Also
        --------
        onnx_inputs : The inputs of the file for some texts.

        Notes
        -----
        All inputs are int64. Ids of unknown words have no effect.

        - ``encoder="mean"`` or ``"attention"``: `ids`, the tokens and n-grams of all texts,
          concatenated, and `offsets`, shape (n_texts + 1,).
        - ``encoder="cnn"`` or ``"rnn"``: `ids`, shape (n_texts, length), padded with -1.
        - Sentence encoders: `input_ids` and `attention_mask`, shape (n_texts, length).

        The output `predictions` equals that of `predict_proba` in float32, or for regressors that
        of `predict` in float64. The metadata of the file contain the classes, and the words,
        n-grams and token pattern or the tokenizer, as JSON.
        """
        check_is_fitted(self)
        write_onnx(self._fitted, path, vectors)

    def onnx_inputs(self, X: Any) -> dict[str, NDArray[np.int64]]:
        """Make the inputs of the ONNX file for some texts.

        Parameters
        ----------
        X : sequence of str
            Texts.

        Returns
        -------
        dict of str to ndarray of int64
            The inputs by name.
        """
        check_is_fitted(self)
        texts = self._fitted.check(X, self)
        return find_exported(self._fitted, "all").inputs(texts)

    def model_card(  # noqa: PLR0913 (public)
        self,
        path: str | os.PathLike[str],
        *,
        description: str | None = None,
        data: str | None = None,
        metrics: Mapping[str, float] | None = None,
        license: str | None = None,
        vectors_license: str | None = None,
    ) -> None:
        """Write a model card: Markdown with a header that the Hugging Face hub reads.

        Parameters
        ----------
        path : str or path
            The file, such as ``README.md``. It is replaced atomically.
        description, data : str, default=None
            Markdown about the purpose, and about the training data.
        metrics : mapping of str to float, default=None
            Names and values, such as ``{"accuracy on MR": 0.78}``.
        license, vectors_license : str, default=None
            Identifiers, such as ``"bsd-3-clause"``, of this model and of the pretrained one.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If a metric is not a number.
        MissingDependencyError
            If the extra ``static`` is not installed.
        """
        check_is_fitted(self)
        write_card(
            self,
            path,
            description=description,
            data=data,
            metrics=metrics,
            license=license,
            vectors_license=vectors_license,
        )
