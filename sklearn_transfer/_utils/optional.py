"""Import of optional dependencies."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import MissingDependencyError


def import_optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional module.

    Parameters
    ----------
    module : str
        Name of the module, dots included.
    extra : str
        The extra of this package that installs it.
    purpose : str
        The subject of the error's sentence: "Reading model.safetensors".

    Returns
    -------
    module

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"{purpose} needs the package {module.partition('.')[0]!r}, which is not installed: "
            f'pip install "sklearn-transfer[{extra}]".'
        ) from error
