"""The address of the documentation, for links in notebooks."""

from __future__ import annotations

from importlib import metadata

_DISTRIBUTION = "sklearn-transfer"


def find_documentation() -> str:
    """Return the address that the installed package names as its documentation; "" if none."""
    try:
        urls = metadata.metadata(_DISTRIBUTION).get_all("Project-URL") or []
    except metadata.PackageNotFoundError:  # a folder on the path that is not installed
        return ""
    named = {label: url for label, _, url in (str(line).partition(", ") for line in urls)}
    return named.get("Documentation", "")
