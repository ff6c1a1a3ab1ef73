"""The kinds of X that a fit accepts, one per file.

A kind checks X, names its defaults and policies, and represents X for the net. `find_kind` asks the
kinds in the order of `KINDS`.
"""

from __future__ import annotations

from typing import Any

from ...sources import are_several, find_input_kind, resolve_source
from ..protocol import Kind
from .arrays import Modules
from .features import GivenFeatures
from .sentences import Sentences
from .words import Words

KINDS: tuple[type[Kind], ...] = (GivenFeatures, Modules, Sentences, Words)


def find_kind(pretrained: Any) -> Kind:
    """Resolve the parameter `pretrained`, once, and find the kind of X that it reads."""
    resolved = pretrained
    if are_several(pretrained):
        if not pretrained:
            raise ValueError("pretrained must name at least one source; got an empty list.")
        resolved = [resolve_source(source) for source in pretrained]
    elif find_input_kind(pretrained) == "texts":
        resolved = resolve_source(pretrained)
    return next(found for kind in KINDS if (found := kind.of(resolved)) is not None)
