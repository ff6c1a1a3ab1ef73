"""Import of optional dependencies."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import MissingDependencyError


def import_optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a module that `extra` installs; `purpose` is the subject of the error's sentence."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # Of the package itself, or of one that it needs.
        package = (error.name or module).partition(".")[0]
        raise MissingDependencyError(
            f"{purpose} needs the package {package!r}, which is not installed: "
            f"{name_command(package, extra)}."
        ) from error
    except ImportError as error:
        raise MissingDependencyError(
            f"{purpose} needs the package {module.partition('.')[0]!r}, which is installed but "
            f"cannot be imported: {error}. Install it again: {name_command(module, extra)}."
        ) from error


def name_command(package: str, extra: str) -> str:
    """Return the commands that install a package, or all packages of an extra."""
    distribution = package.partition(".")[0].replace("_", "-")
    return (
        f"pip install {distribution}; or, in a clone of sklearn-transfer, all packages of this "
        f'extra: pip install -e ".[{extra}]"'
    )
