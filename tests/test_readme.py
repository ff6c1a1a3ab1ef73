"""The code in README runs and prints the output that its comments show."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_code_blocks_print_their_comments(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # one writes a model
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), namespace)
    expected = re.findall(r"^print\(.*\)  # (.*)$", "\n".join(blocks), re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == expected


def test_the_files_that_docs_name_are_there():
    root = README.parent
    for page in [README, *(root / "docs").glob("*.md")]:
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"`((?:tests|benchmarks|docs)/[\w/.]*\w\.(?:py|md))`", text)
        linked = re.findall(r"\]\(([\w/.-]+)(?:#[\w-]+)?\)", text)
        missing = [name for name in named if not (root / name).exists()]
        missing += [link for link in linked if not (page.parent / link).exists()]
        assert not missing, page
