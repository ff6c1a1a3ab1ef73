"""TokenMapDisplay: word vectors before and after fine-tuning, in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA

from .._utils.display.characters import make_line
from .._utils.display.fonts import find_families
from .figures import find_fine_tuned, import_pyplot

_LONGEST = 30  # characters of a word


class TokenMapDisplay:
    """Map of words: an arrow from the pretrained to the fine-tuned vector of each word.

    Use :meth:`from_estimator` to create a display from a fitted estimator. All parameters are
    stored as attributes.

    Parameters
    ----------
    words : sequence of str, length n_words
        The words of the map.
    before, after : array-like of shape (n_words, 2)
        Coordinates of the pretrained and of the fine-tuned vectors.
    explained_variance_ratio : array-like of shape (2,), default=None
        Share of the variance of the vectors that each coordinate explains.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    arrows_ : matplotlib Quiver
        From `before` to `after`.
    texts_ : list of matplotlib Text
        The words, at `after`.

    See Also
    --------
    TrainingCurveDisplay : Losses, scores and learning rates over the epochs.

    Notes
    -----
    A distance on the map is at most the distance of the vectors. The axis labels show the share of
    the variance that each coordinate explains.
    """

    def __init__(
        self,
        words: Sequence[str],
        before: ArrayLike,
        after: ArrayLike,
        explained_variance_ratio: ArrayLike | None = None,
    ) -> None:
        self.words, self.before, self.after = words, before, after
        self.explained_variance_ratio = explained_variance_ratio

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        words: Sequence[str] | None = None,
        n_words: int = 30,
        ax: Any = None,
    ) -> Self:
        """Draw the words of an estimator on principal components of their vectors.

        Parameters
        ----------
        estimator : FineTunedClassifier, FineTunedRegressor or Pipeline
            Fitted in mini-batches with trainable word vectors. The default, linear model has no
            map, because its pretrained vectors are frozen.
        words : sequence of str, default=None
            Words of the training texts. None takes the words with a pretrained vector whose vectors
            moved most, in Euclidean distance.
        n_words : int, default=30
            Maximum number of words, if `words` is None.
        ax : matplotlib Axes, default=None
            None creates a figure.

        Returns
        -------
        TokenMapDisplay

        Raises
        ------
        ValueError
            If no word vectors were trained, or if a word does not occur in the training texts.
        """
        found = find_fine_tuned(estimator, cls)
        compared = found._fitted.compare_rows()  # noqa: SLF001 (of the same package)
        if compared is None:
            raise ValueError(
                f"{cls.__name__} needs word vectors that were trained in mini-batches; those of "
                f"this {type(found).__name__} are fixed, or there are none. Give word vectors as "
                f"pretrained, and set optimizer='adam' or hidden_layer_sizes=(50,)."
            )
        vocabulary, before, after = compared
        chosen = _choose_words(vocabulary, before, after, words, n_words)
        if before.shape[1] < 2:
            raise ValueError(f"{cls.__name__} needs vectors of at least 2 dimensions, got 1.")
        pca = PCA(n_components=2, svd_solver="full")
        places = pca.fit_transform(np.concatenate([before[chosen], after[chosen]]))
        display = cls(
            [vocabulary[i] for i in chosen.tolist()],
            places[: len(chosen)],
            places[len(chosen) :],
            pca.explained_variance_ratio_,
        )
        return display.plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None creates a figure.

        Returns
        -------
        TokenMapDisplay

        Raises
        ------
        MissingDependencyError
            If matplotlib is not installed.
        """
        pyplot = import_pyplot(self)
        if ax is None:
            _, ax = pyplot.subplots(figsize=(8, 6), layout="constrained")
        before, after = np.asarray(self.before), np.asarray(self.after)
        moved = after - before
        ax.plot(*before.T, "o", color="0.6", markersize=3, zorder=1)
        self.arrows_ = ax.quiver(
            *before.T,
            *moved.T,
            angles="xy",
            scale_units="xy",
            scale=1,
            color="C0",
            width=0.002,
            zorder=1,
        )
        families = find_families()
        self.texts_ = [
            ax.annotate(
                make_line(word, _LONGEST),
                place,
                ha="right" if shift < 0 else "left",
                va="center",
                fontsize="small",
                xytext=(-3 if shift < 0 else 3, 0),
                textcoords="offset points",
                fontfamily=families,
                parse_math=False,  # a word may hold dollar signs
                annotation_clip=False,
            )
            for word, place, shift in zip(self.words, after, moved[:, 0], strict=True)
        ]
        ax.update_datalim(after)
        ax.margins(0.12)
        ax.autoscale_view()
        shares = self.explained_variance_ratio
        for i, axis in enumerate((ax.xaxis, ax.yaxis)):
            share = "" if shares is None else f" ({np.asarray(shares)[i]:.0%} of the variance)"
            axis.set_label_text(f"Principal component {i + 1}{share}")
        ax.set_title("Word vectors before (dots) and after fine-tuning")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _choose_words(
    vocabulary: Sequence[str],
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    words: Sequence[str] | None,
    n_words: int,
) -> NDArray[np.int64]:
    """Find the rows of the given words, or of the words that moved most."""
    if words is not None:
        row = {word: i for i, word in enumerate(vocabulary)}
        unknown = [word for word in words if word not in row]
        if unknown or not len(words):
            got = ", ".join(map(repr, unknown[:5])) or "none"
            raise ValueError(
                f"words must be tokens of the training texts, as the model spells them (lower case "
                f"for most vectors); got {got}."
            )
        return np.array([row[word] for word in words])
    if n_words < 1:
        raise ValueError(f"n_words must be at least 1, got {n_words}.")
    distance = np.linalg.norm(after - before, axis=1)
    distance[~before.any(axis=1)] = 0  # without a pretrained vector
    moved: NDArray[np.int64] = np.argsort(-distance, kind="stable")[:n_words]
    moved = moved[distance[moved] > 0]
    if not len(moved):
        raise ValueError(
            "No pretrained vector of a training word has moved: the word vectors were frozen. Fit "
            "with adaptation='full', or name words=[...]."
        )
    return moved
