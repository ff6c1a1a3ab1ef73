"""The folder or zip of a model file: ``config.json`` and the files that it lists.

The configuration holds the digest of every other file and of itself, so that a damaged or altered
file is found before anything is made of it. Vectors have digests of their own, which their
``vectors.json`` holds.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .._utils.atomic import remove_remains, replace_folder, write_atomically
from .._utils.errors import ModelFormatError
from .._utils.hashing import hash_content
from ..vectors.storage.files import open_regular, read_json

CONFIG, TENSORS = "config.json", "tensors.safetensors"
_FORMAT, _VERSION = "sklearn_transfer.model", 1
_UPGRADE = "Upgrade: git pull in the clone of sklearn-transfer."

# Names of files that are extracted: relative, and without links to other folders.
_SAFE_NAME = re.compile(r"\w[\w.+-]*(/\w[\w.+-]*){0,8}")
# Tensors hardly compress. An archive that expands more than this is a bomb, unless it is small.
_MAX_EXPANSION, _SMALL = 20, 4 << 20
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_MAX_CONFIG = 64 << 20  # bytes; labels and parameters
_BLOCK = 1 << 20
_OTHER_PLACE = "Choose a new name, or remove it first."


def is_zip(path: Path) -> bool:
    """Return True if a model is written to a path as a zip."""
    return path.suffix == ".zip"


def write_model(path: Path, fill: Callable[[Path], dict[str, Any]]) -> None:
    """Write a folder, or a zip where the path ends in ``.zip``, in one step.

    Parameters
    ----------
    path : Path
        Replaced only if it is a model file.
    fill : callable
        Writes all files but the configuration into a new folder, and returns its entries.

    Raises
    ------
    FileExistsError
        If the path holds anything else.
    """
    remove_remains(path)
    if is_zip(path):
        _check_replaced_zip(path)
        with tempfile.TemporaryDirectory() as temporary, write_atomically(path) as file:
            folder = Path(temporary)
            _write_config(folder, fill(folder))
            with zipfile.ZipFile(file, "w") as archive:
                for name in [CONFIG, *_list_files(folder)]:
                    # Without its time, the same content gives the same bytes.
                    entry = zipfile.ZipInfo(name)
                    with (folder / name).open("rb") as content, archive.open(entry, "w") as target:
                        shutil.copyfileobj(content, target, _BLOCK)
        return
    names = {entry.name for entry in path.iterdir()} if _is_model(path) else set()
    with replace_folder(path, names, _is_model) as folder:
        _write_config(folder, fill(folder))


def _is_model(path: Path) -> bool:
    """Return True for the folder of a model file without other files in it."""
    try:
        listed = read_config(path)["files"]
    except (OSError, ValueError, KeyError):
        return False
    return set(_list_files(path)) <= set(listed)


def check_replaced(path: Path) -> None:
    """Raise `FileExistsError` if a path holds anything but a model file or an empty folder."""
    if not path.is_dir() or is_zip(path):
        _check_replaced_zip(path)
    elif not _is_model(path) and any(path.iterdir()):
        raise FileExistsError(
            f"{path} was not written by this package and is not overwritten. {_OTHER_PLACE}"
        )


def _check_replaced_zip(path: Path) -> None:
    if not path.exists():
        return
    try:
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read(CONFIG))
        is_ours = about["format"] == _FORMAT
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile):
        is_ours = False
    if not is_ours:
        raise FileExistsError(
            f"{path} was not written by this package and is not overwritten. {_OTHER_PLACE}"
        )


def _list_files(folder: Path) -> list[str]:
    """All files of a folder but its configuration, as relative names in a fixed order."""
    found = (file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return sorted(name for name in found if name != CONFIG)


def _write_config(folder: Path, entries: dict[str, Any]) -> None:
    about = {
        "format": _FORMAT,
        "version": _VERSION,
        **entries,
        "files": {name: _hash_file(folder / name) for name in _list_files(folder)},
    }
    about["digest"] = _hash_config(about)
    (folder / CONFIG).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _hash_file(file: Path) -> str:
    """Digest of a file; of the arrays of vectors, whose digests are in ``vectors.json``, none."""
    if file.suffix == ".npy":
        return ""
    with open_regular(file) as content:
        return hash_content(content.read())


def _hash_config(about: dict[str, Any]) -> str:
    return hash_content(json.dumps(about, sort_keys=True))


def read_config(folder: Path) -> dict[str, Any]:
    """Read the configuration of a model; `ModelFormatError` if it is damaged, foreign or newer."""
    file = folder / CONFIG
    about = read_json(file, max_bytes=_MAX_CONFIG)
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise ModelFormatError(f"{file}: expected an object with 'format': {_FORMAT!r}.")
    version = about.get("version")
    if type(version) is not int or version < 1:
        raise ModelFormatError(f"{file}: expected a version number, found {version!r:.80}.")
    if version > _VERSION:
        raise ModelFormatError(
            f"{file}: the model has version {version} of the format, this package reads up to "
            f"version {_VERSION}. {_UPGRADE}"
        )
    if about.pop("digest", None) != _hash_config(about):
        raise ModelFormatError(
            f"{file}: the content does not agree with its own digest; the model file is damaged. "
            f"Save the model again."
        )
    return about


def check_files(folder: Path, files: Any) -> None:
    """Raise `ModelFormatError` unless all listed files are there and have their digests."""
    if not isinstance(files, dict) or not all(map(_SAFE_NAME.fullmatch, files)):
        raise ModelFormatError(f"{folder / CONFIG}: expected the names of all files.")
    for name, digest in files.items():
        file = folder / name
        try:
            found = _hash_file(file)
        except (OSError, ValueError) as error:
            raise ModelFormatError(f"{file}: expected a file of the model: {error}") from error
        if found != digest:
            raise ModelFormatError(
                f"{file}: the content does not agree with its digest in {CONFIG}; the model file "
                f"is damaged. Save the model again."
            )


@contextmanager
def open_model(path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Open a model file: its folder, for a zip a temporary one, and its configuration."""
    if path.is_dir():
        yield path, _read_checked(path)
        return
    if not path.exists():
        raise FileNotFoundError(f"No model file at {str(path)!r}: expected a folder or a zip.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            _extract(path, folder)
            about = _read_checked(folder)
        except ModelFormatError as error:  # in the archive, not in the temporary folder
            raise ModelFormatError(str(error).replace(temporary, str(path))) from error
        yield folder, about


def _read_checked(folder: Path) -> dict[str, Any]:
    try:
        about = read_config(folder)
        check_files(folder, about.get("files"))
    except ModelFormatError:
        raise
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"{folder}: expected a model file: {error}") from error
    return about


def _extract(path: Path, folder: Path) -> None:
    """Extract an archive of bounded size, whose entries have safe names."""
    limit = max(_SMALL, _MAX_EXPANSION * path.stat().st_size)
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                name = entry.filename
                if name.endswith("/"):
                    continue
                if not _SAFE_NAME.fullmatch(name):
                    raise ModelFormatError(f"{path}: expected names of files, found {name!r:.80}.")
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as content, target.open("wb") as extracted:
                    while block := content.read(_BLOCK):
                        limit -= len(block)
                        if limit < 0:
                            raise ModelFormatError(
                                f"{path}: the archive expands to more than {_MAX_EXPANSION} times "
                                f"its size. If you trust it, extract it and load the folder."
                            )
                        extracted.write(block)
    except ModelFormatError:
        raise
    except Exception as error:  # of all types: of zipfile on damaged archives
        if isinstance(error, OSError) and error.filename:
            raise
        if isinstance(error, OSError) and error.errno in _FULL:  # nothing about the archive
            raise OSError(error.errno, error.strerror, str(folder)) from error
        raise ModelFormatError(f"{path}: the zip is damaged or cut off: {error!r:.200}") from error
