"""Names of classes as labelled texts."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from unicodedata import category

import numpy as np
from numpy.typing import NDArray

from ..._utils.errors import warn_once
from ..._utils.missing import is_missing
from ...text.linear.design import Design
from .target_checks import plain_label

# The texts that stand for a name: of word vectors, and of sentence encoders.
WORD_TEMPLATES = ("{}",)
SENTENCE_TEMPLATES = ("{}", "This text is about {}.")
_PLACE = "{}"
# Where a word of a label such as "CardArrival" or "opening_hours2" begins.
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NUMBER = re.compile(r"\d+")
# Within words, next to letters and their combining marks: the apostrophe, and joiners of letters.
_INSIDE = "'\u200c\u200d"
# A label is a name if one of its words has so many letters, in ASCII or in other scripts; "A1" and
# "LOC" are codes.
_LETTERS, _LETTERS_OF_OTHERS = 4, 2
_N_NAMED = 5  # in a warning
_N_PROJECTIONS = 4  # random ones of the features, by which names are compared


def find_names(class_names: Any, classes: NDArray[Any]) -> dict[Any, str | list[str]]:
    """The name of each class, or a list of texts that stand for it.

    Parameters
    ----------
    class_names : "auto", mapping or sequence
        See `FineTunedClassifier`.
    classes : ndarray, shape (n_classes,)
        The sorted labels of the training samples.

    Returns
    -------
    dict of label to str or list of str
        "auto" gives nothing unless most labels are names; a mapping may have labels without
        samples.

    Raises
    ------
    ValueError
        If a class has no name, or an empty one, or that of another class.
    """
    if isinstance(class_names, str):
        given: dict[Any, Any] = _spell_labels(classes.tolist())
        if not given:
            warn_once(
                f"class_names='auto' found no names: expected labels most of which are words, such "
                f"as 'card_arrival', got {reprlib.repr(classes.tolist())}. Give a dict from label "
                f"to name, or class_names=None."
            )
    elif isinstance(class_names, Mapping):
        given = {plain_label(label): name for label, name in class_names.items()}
        _check_labels(given)
        missing = [label for label in classes.tolist() if label not in given]
        if missing:
            raise ValueError(
                f"class_names must have a name for every class of y, got none for "
                f"{', '.join(map(repr, missing))}. Its classes are {', '.join(map(repr, given))}. "
                f"Where scikit-learn numbers the labels, as in a VotingClassifier, give a list of "
                f"names in the order of the sorted labels."
            )
    else:
        if len(class_names) != len(classes):
            raise ValueError(
                f"class_names must be a dict, or a list of {len(classes)} names in the order of "
                f"the sorted labels, {', '.join(map(repr, classes.tolist()))}; got "
                f"{len(class_names)} names."
            )
        given = dict(zip(classes.tolist(), class_names, strict=True))
    names = {label: _check_name(label, name) for label, name in given.items()}
    _check_distinct(names)
    return names


def fill_templates(name: str | list[str], templates: Sequence[str]) -> list[str]:
    """The texts of a class: its name in each template, or the texts that were given."""
    if isinstance(name, list):
        return name
    return [template.replace(_PLACE, name) for template in templates]


def check_templates(templates: Sequence[Any]) -> None:
    """Refuse templates without a place for the name."""
    wrong = [t for t in templates if not isinstance(t, str) or _PLACE not in t]
    if wrong or not templates:
        got = repr(wrong[0]) if wrong else "no template"
        raise ValueError(
            f"Expected name_templates with a place {_PLACE!r} for the name, such as 'This text is "
            f"about {_PLACE}.', got {got}."
        )


def _spell_labels(labels: Sequence[Any]) -> dict[Any, str]:
    """The words of all labels, or nothing unless most of them are names."""
    # Names of some classes would draw samples of the others to them.
    if not all(isinstance(label, str) for label in labels):
        return {}
    words = {label: _split_words(label) for label in labels}
    n_names = sum(any(map(_is_word, parts)) for parts in words.values())
    if 2 * n_names <= len(labels) or not all(words.values()):
        return {}
    # "class_a" and "class_b", or "label1" and "label2", differ in codes.
    shared = set.intersection(*map(set, words.values()))
    own = set().union(*words.values()) - shared
    if not any(len(part) > 1 and not part.isdecimal() for part in own):
        return {}
    return {label: " ".join(parts) for label, parts in words.items()}


def _split_words(label: str) -> list[str]:
    spaced = _NUMBER.sub(r" \g<0> ", _CAMEL.sub(" ", label))
    kept = (c if category(c)[0] in "LM" or c.isdecimal() or c in _INSIDE else " " for c in spaced)
    return [part for word in "".join(kept).split() if (part := word.strip("'"))]


def _is_word(part: str) -> bool:
    n_letters = sum(c.isalpha() for c in part)
    return n_letters >= (_LETTERS if part.isascii() else _LETTERS_OF_OTHERS)


def _check_labels(labels: Iterable[Any]) -> None:
    kinds = (str, int, float)
    wrong = [label for label in labels if not isinstance(label, kinds) or is_missing(label)]
    if wrong:
        raise ValueError(
            f"class_names must have labels that are strings or numbers, got {wrong[0]!r}."
        )


def _check_name(label: Any, name: Any) -> str | list[str]:
    if isinstance(name, str) and name.strip():
        return name
    is_list = isinstance(name, Sequence) and not isinstance(name, str) and len(name) > 0
    if not is_list or not all(isinstance(text, str) and text.strip() for text in name):
        raise ValueError(
            f"The name of the class {label!r} must be a string, or a list of texts that stand for "
            f"the class, and not empty; got {name!r}."
        )
    return list(name)


def _check_distinct(names: Mapping[Any, str | list[str]]) -> None:
    seen: dict[str, Any] = {}
    for label, name in names.items():
        for text in [name] if isinstance(name, str) else name:
            if seen.setdefault(text.strip(), label) != label:
                raise ValueError(
                    f"The classes {seen[text.strip()]!r} and {label!r} have the same name, "
                    f"{text.strip()!r}. Give each class a name of its own."
                )


def warn_of_names(design: Design, texts: Sequence[str], codes: NDArray[np.integer]) -> None:
    """Warn of classes that no feature of their names tells from other classes.

    Parameters
    ----------
    design : Design, length n_texts
        Features of the texts that stand for names.
    texts : sequence of str, length n_texts
    codes : ndarray of int, shape (n_texts,)
        Their classes.
    """
    rng = np.random.default_rng(0)
    blocks = (design.sparse, design.dense)
    rows = sum(np.asarray(b @ rng.standard_normal((b.shape[1], _N_PROJECTIONS))) for b in blocks)
    rows = np.round(rows / max(np.abs(rows).max(), np.finfo(float).tiny), 4)
    row = np.unique(rows, axis=0, return_inverse=True)[1].ravel()
    n_classes = np.bincount(np.unique(np.column_stack([row, codes]), axis=0)[:, 0])
    is_own = rows.any(axis=1) & (n_classes[row] == 1)
    lost = np.setdiff1d(codes, codes[is_own])
    if len(lost):
        spelled = (reprlib.repr(texts[int(np.argmax(codes == c))]) for c in lost[:_N_NAMED])
        warn_once(
            f"class_names: the features of the names of {len(lost)} of {len(np.unique(codes))} "
            f"classes are zero, or those of another class too: {', '.join(spelled)}. The model may "
            f"have no vectors of their words, lower-case the words, or truncate the names. Give "
            f"each class a name of its own, or a list of texts that stand for it."
        )


def find_unsampled(class_names: Any, y: NDArray[Any]) -> list[Any]:
    """The labels of a mapping of names that no sample of y has; none of an indicator matrix."""
    if not isinstance(class_names, Mapping) or y.ndim > 1:
        return []
    known = set(y.tolist())
    return [label for label in class_names if label not in known]


def all_classes(classes: NDArray[Any], names: Mapping[Any, Any]) -> NDArray[Any]:
    """The sorted labels of samples and of names."""
    others = [label for label in names if label not in set(classes.tolist())]
    if not others:
        return classes
    if len(classes) and classes.dtype.kind == "f":  # of integers, where other samples have none
        others = [float(label) if type(label) is int else label for label in others]
    kinds = sorted({type(plain_label(label)).__name__ for label in [*classes.tolist(), *others]})
    if len(kinds) > 1:
        raise ValueError(
            f"class_names must have labels of the type of those in y, got {' and '.join(kinds)}."
        )
    return np.unique(np.concatenate([classes, np.asarray(others)]) if len(classes) else others)
