"""Size and structure of checkouts, side by side: ``python -m benchmarks.house [CHECKOUT ...]``.

With ``--tree``, the files of the package and the first lines of their docstrings instead.

Lines are counted as `wc -l` does. Functions and classes are counted without docstrings, and
functions without constructors. An import cycle is a group of modules that import each other,
inside functions too; imports for type checking alone are a row of their own.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

from .measure import markdown_table

PACKAGE = "sklearn_transfer"
INPUTS = {
    *("Design", "Bags", "Arrays", "Sequences"),  # the inputs of a net
    *("GivenFeatures", "Modules", "Sentences", "Words"),  # the kinds of X
}
QUESTION = re.compile(r"(What|How|Whether|Where|Who|Whose|Which|Why)\b")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def parse(checkout: Path) -> dict[Path, ast.Module]:
    root = checkout / PACKAGE
    return {path: ast.parse(path.read_text("utf-8")) for path in sorted(root.rglob("*.py"))}


def count_lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.py"))


def count_code(node: Definition) -> int:
    """Lines of a definition without its docstrings."""
    docstrings = 0
    for child in ast.walk(node):
        if isinstance(child, Definition) and ast.get_docstring(child) is not None:
            docstring = child.body[0]
            docstrings += docstring.end_lineno - docstring.lineno + 1
    return node.end_lineno - node.lineno + 1 - docstrings


def find_largest(trees: dict[Path, ast.Module], kind: type | tuple[type, ...]) -> str:
    found = (node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, kind))
    largest = max((node for node in found if node.name != "__init__"), key=count_code)
    return f"{count_code(largest)} (`{largest.name}`)"


def count_files(trees: dict[Path, ast.Module], root: Path) -> str:
    """The fullest folder; its ``__init__.py`` is not counted."""
    folders = [path.parent for path in trees if path.name != "__init__.py"]
    fullest = max(folders, key=folders.count)
    return f"{folders.count(fullest)} (`{fullest.relative_to(root)}/`)"


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk_imports(node: ast.AST, *, types: bool) -> Iterator[ast.ImportFrom]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom):
            yield child
        elif types or not is_type_checking(child):
            yield from walk_imports(child, types=types)


def count_cycles(trees: dict[Path, ast.Module], root: Path, *, types: bool) -> int:
    """Groups of modules that import each other."""
    names = {path.relative_to(root).with_suffix("").parts: path for path in trees}
    reached: dict[Path, set[Path]] = {}
    for parts, path in names.items():
        targets = set()
        for node in walk_imports(trees[path], types=types):
            absolute = (node.module or "").split(".") if node.module else []
            if node.level:
                absolute = [*parts[: len(parts) - node.level], *absolute]
            for alias in node.names:
                inside, above = (*absolute, alias.name), (*absolute,)
                for target in (inside, (*inside, "__init__"), above, (*above, "__init__")):
                    if target in names:
                        targets.add(names[target])
                        break
        reached[path] = targets - {path}
    grown = True
    while grown:  # the transitive closure
        grown = False
        for targets in reached.values():
            more = set().union(*(reached[target] for target in targets)) - targets
            targets |= more
            grown |= bool(more)
    groups = {
        frozenset(other for other in targets if path in reached[other])
        for path, targets in reached.items()
        if path in targets
    }
    return len(groups)


def count_isinstance(trees: dict[Path, ast.Module]) -> int:
    """Checks for a type of inputs in another file than that of the type."""
    count = 0
    for tree in trees.values():
        own = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
                names = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
                count += bool(names & INPUTS - own)
    return count


def count_kinds(trees: dict[Path, ast.Module]) -> int:
    """Reads of an attribute that tells the kind of X, outside the folder of the kinds."""
    nodes = (
        n for path, tree in trees.items() if path.parent.name != "inputs" for n in ast.walk(tree)
    )
    attributes = (ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute))
    return sum(re.search(r"\.(_reads_\w+|kind\.name)$", name) is not None for name in attributes)


def count_questions(trees: dict[Path, ast.Module]) -> int:
    documented = (
        ast.get_docstring(node) or ""
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, Definition))
    )
    return sum(QUESTION.match(docstring) is not None for docstring in documented)


def describe(checkout: Path) -> dict[str, object]:
    trees, root = parse(checkout), checkout
    return {
        "lines of the package": f"{count_lines(checkout / PACKAGE):,}",
        "lines of the tests": f"{count_lines(checkout / 'tests'):,}",
        "files of the package": len(trees),
        "most files in a folder": count_files(trees, root),
        "largest function, lines": find_largest(trees, (ast.FunctionDef, ast.AsyncFunctionDef)),
        "largest class, lines": find_largest(trees, ast.ClassDef),
        "`isinstance` on inputs outside the input's own file": count_isinstance(trees),
        "other conditions on the kind of X outside its file": count_kinds(trees),
        "import cycles": count_cycles(trees, root, types=False),
        "import cycles with imports for types": count_cycles(trees, root, types=True),
        "docstrings that begin with a question word": count_questions(trees),
    }


def draw_tree(checkout: Path) -> str:
    files = {path.relative_to(checkout): tree for path, tree in parse(checkout).items()}
    return "\n".join(
        f"{path!s:60} {(ast.get_docstring(tree) or '').partition(chr(10))[0]}"
        for path, tree in files.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.house", description=__doc__)
    parser.add_argument("checkouts", nargs="*", type=Path, default=[Path.cwd()])
    parser.add_argument("--tree", action="store_true", help="the files and their docstrings")
    options = parser.parse_args()
    checkouts = [path.resolve() for path in options.checkouts]
    if options.tree:
        print(*map(draw_tree, checkouts), sep="\n\n")
        return
    columns = [describe(checkout) for checkout in checkouts]
    rows = [[name, *(column[name] for column in columns)] for name in columns[0]]
    print(markdown_table(["", *(path.name for path in checkouts)], rows))


if __name__ == "__main__":
    main()
