"""Outputs: tables, JSON, and files that are written as a whole."""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path

import click
import numpy as np
import pytest

from sklearn_transfer.cli.console import (
    CommandError,
    Console,
    check_output,
    make_writer,
    one_line,
    to_json,
)

RECORDS = [
    {"row": 1, "label": 'a "b"', "probabilities": {"x": 0.5, "y": 0.5}},
    {"row": 3, "label": "c,d\ne", "probabilities": {"x": 1.0, "y": float("nan")}},
]


def test_json_has_numbers_of_json_alone():
    document = {"a": np.float64("nan"), "b": np.arange(2), 3: Path("x"), "c": (np.int64(1), "é")}
    assert to_json(document) == '{"a": null, "b": [0, 1], "3": "x", "c": [1, "é"]}'


def test_tables_have_a_column_per_label():
    out = io.StringIO()
    write = make_writer(out, ".csv")
    write(RECORDS[:1])
    write(RECORDS[1:])
    assert out.getvalue() == (
        'row,label,probabilities.x,probabilities.y\n1,"a ""b""",0.5,0.5\n3,"c,d\ne",1.0,nan\n'
    )


def test_lists_are_joined():
    out = io.StringIO()
    make_writer(out, ".tsv")([{"row": 1, "labels": ["a", "b"]}])
    assert out.getvalue() == "row\tlabels\n1\ta;b\n"


def test_records_of_json_lines():
    out = io.StringIO()
    with Console(out).records(None, force=False, as_json=True) as write:
        write(RECORDS)
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    assert found[1]["probabilities"] == {"x": 1.0, "y": None}


def test_files_are_compressed_and_complete_or_absent(tmp_path):
    console = Console(io.StringIO())
    path = tmp_path / "out.jsonl.gz"
    with pytest.raises(KeyboardInterrupt), console.records(str(path), force=False, as_json=False):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with console.records(str(path), force=False, as_json=False) as write:
        write(RECORDS)
    assert len(gzip.decompress(path.read_bytes()).splitlines()) == 2
    with pytest.raises(CommandError, match="Give --force to replace it"):
        check_output(str(path), force=False)
    check_output(str(path), force=True)
    assert list(tmp_path.iterdir()) == [path]


def test_outputs_that_cannot_be_written_are_refused_before_any_work(tmp_path):
    with pytest.raises(CommandError, match=r"Cannot write .*: there is no folder"):
        check_output(str(tmp_path / "none" / "out.csv"), force=False)
    with (
        pytest.raises(click.UsageError, match=r"ending in .csv, .tsv or .jsonl"),
        Console(io.StringIO()).records("out.xlsx", force=False, as_json=False),
    ):
        pass


def test_messages_are_one_line_without_control_characters():
    assert one_line("a\n  b\x1b[31m") == "a b�[31m"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of POSIX")
def test_a_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o555)
    try:
        if os.geteuid():  # the superuser may write anywhere
            with pytest.raises(CommandError, match=r"Cannot write .*: Permission denied"):
                check_output(str(tmp_path / "out.csv"), force=False)
        if Path("/proc/self").exists():  # nobody may
            with pytest.raises(CommandError, match=r"Cannot write /proc/out.csv: .* another"):
                check_output("/proc/out.csv", force=False)
    finally:
        tmp_path.chmod(0o755)
