"""Python code that models bring, in pickles of their modules.

transformers copies the code of a model into a folder of its cache, and imports it from there. A
pickle names the classes only: in another process or on another machine they could not be imported.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import Any

from .._utils.atomic import write_atomically

_PACKAGE = "transformers_modules"
_LIBRARY = "transformers.dynamic_module_utils"


class RemoteCode:
    """The code of the classes of modules. A pickle must hold it in front of the modules.

    Parameters
    ----------
    files : mapping of str to str
        The content of the files, by their paths in the folder of transformers.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = dict(files)

    @classmethod
    def of(cls, module: Any) -> RemoteCode:
        """Collect the code of the classes of a torch module, its parts and their settings."""
        parts = [value for part in module.modules() for value in (part, *vars(part).values())]
        names = {type(part).__module__ for part in parts}
        files = {}
        for name in sorted(name for name in names if name.startswith(f"{_PACKAGE}.")):
            file = Path(str(sys.modules[name].__file__))
            root = file.parents[name.count(".")]
            for code in file.parent.glob("*.py"):  # others that it imports, too
                files[code.relative_to(root).as_posix()] = code.read_text(encoding="utf-8")
        return cls(files)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.files,)


def _restore(files: Mapping[str, str]) -> RemoteCode:
    """Put code where transformers would, so that its classes can be imported."""
    if files:
        library = import_module(_LIBRARY)
        library.init_hf_modules()
        root = Path(library.HF_MODULES_CACHE)
        for name, content in files.items():
            if not (path := root / name).exists():
                library.create_dynamic_module(Path(name).parent)
                with write_atomically(path) as file:
                    file.write(content.encode())
        invalidate_caches()
    return RemoteCode(files)
