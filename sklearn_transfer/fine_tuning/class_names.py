"""Names of classes as labelled texts."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._utils.errors import warn_once

# The texts that stand for a name.
_TEMPLATES = ("{}", "This text is about {}.")
# Words of a label such as "card_arrival", "comp.graphics" or "CardArrival".
_WORDS = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
# A label is a name if one of its words has so many letters; "A1" and "LOC" are codes.
_LETTERS = 4


def name_texts(class_names: Any, classes: NDArray[Any]) -> dict[Any, list[str]]:
    """The texts that stand for each class.

    Parameters
    ----------
    class_names : "auto", mapping or sequence
        See `FineTunedClassifier`.
    classes : ndarray, shape (n_classes,)
        The sorted labels of the training samples.

    Returns
    -------
    dict of label to list of str
        "auto" leaves out labels that are no names; a mapping may have labels without samples.

    Raises
    ------
    ValueError
        If a class has no name, or an empty one, or that of another class.
    """
    if isinstance(class_names, str):
        given: dict[Any, Any] = {label: _spell(label) for label in classes.tolist()}
        given = {label: name for label, name in given.items() if name}
        if not given:
            warn_once(
                f"class_names='auto' found no names: expected labels of words, such as "
                f"'card_arrival', got {reprlib.repr(classes.tolist())}. Give a dict from label to "
                f"name, or class_names=None."
            )
    elif isinstance(class_names, Mapping):
        given = dict(class_names)
        missing = [label for label in classes.tolist() if label not in given]
        if missing:
            raise ValueError(
                f"class_names must have a name for every class of y, got none for "
                f"{', '.join(map(repr, missing))}. Its classes are {', '.join(map(repr, given))}."
            )
    else:
        if len(class_names) != len(classes):
            raise ValueError(
                f"class_names must be a dict, or a list of {len(classes)} names in the order of "
                f"the sorted labels, {', '.join(map(repr, classes.tolist()))}; got "
                f"{len(class_names)} names."
            )
        given = dict(zip(classes.tolist(), class_names, strict=True))
    texts = {label: _fill(label, name) for label, name in given.items()}
    _check_distinct(texts)
    return texts


def _spell(label: Any) -> str:
    """The words of a label, or nothing if it is no name."""
    if not isinstance(label, str):
        return ""
    words = _WORDS.findall(_CAMEL.sub(" ", label))
    is_name = any(len(word) >= _LETTERS and not word.isdigit() for word in words)
    return " ".join(words) if is_name else ""


def _fill(label: Any, name: Any) -> list[str]:
    texts = [template.format(name) for template in _TEMPLATES] if isinstance(name, str) else name
    is_valid = isinstance(texts, Sequence) and all(isinstance(text, str) for text in texts)
    if not is_valid or not texts or not all(map(str.strip, [name] if texts[0] == name else texts)):
        raise ValueError(
            f"The name of the class {label!r} must be a string, or a list of texts that stand for "
            f"the class, and not empty; got {name!r}."
        )
    return list(texts)


def _check_distinct(texts: Mapping[Any, Sequence[str]]) -> None:
    seen: dict[str, Any] = {}
    for label, parts in texts.items():
        for text in parts:
            if seen.setdefault(text, label) != label:
                raise ValueError(
                    f"The classes {seen[text]!r} and {label!r} have the same name, {text!r}. Give "
                    f"each class a name of its own."
                )


def all_classes(classes: NDArray[Any], texts: Mapping[Any, Any]) -> NDArray[Any]:
    """The sorted labels of samples and of names."""
    others = [label for label in texts if label not in set(classes.tolist())]
    if not others:
        return classes
    kinds = sorted({type(label).__name__ for label in [*classes.tolist(), *others]})
    if len(kinds) > 1:
        raise ValueError(
            f"class_names must have labels of the type of those in y, got {' and '.join(kinds)}."
        )
    return np.unique(np.concatenate([classes, np.asarray(others)]))
