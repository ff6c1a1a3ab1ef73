"""Print the declared minimum versions of core and test dependencies as constraints of pip.

torch keeps the version of constraints.txt: on some machines only that pin brings a CPU build.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
lowest = dict(re.match(r"([\w-]+)>=([\d.]+)$", entry).groups() for entry in declared)
pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
lowest["torch"] = re.search(r"^torch==(\S+)$", pins, re.MULTILINE)[1]
for name, version in lowest.items():
    print(f"{name}=={version}")
