"""Data files as they are: encodings, delimiters, quotes, large cells, kinds of values."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sklearn_transfer.cli.console import CommandError
from sklearn_transfer.cli.data import Columns, Reading, read_columns

HEADER = "id,text,label\n"


def read(path: Path, content: str | bytes, *names: str, **options: Any) -> Columns:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_columns(str(path), names or ("text", "label"), Reading(**options))


def test_csv_with_quotes_line_breaks_and_blank_lines(tmp_path):
    content = HEADER + '1,"a, ""b""\nc",pos\n\n2,,neg\n'
    columns = read(tmp_path / "a.csv", content)
    assert columns.values == {"text": ['a, "b"\nc', ""], "label": ["pos", "neg"]}
    assert columns.lines == [2, 5]
    assert not columns.faults


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.tsv", "text\tlabel\nx\ty\n", {}),
        ("a.csv", "text;label\nx;y\n", {"delimiter": ";"}),
        ("a.data", "text,label\nx,y\n", {"format": "csv"}),
        ("a.csv", b"\xef\xbb\xbftext,label\r\nx,y\r\n", {}),
        ("a.csv", "text,label\nx,y\n".encode("utf-16"), {"encoding": "utf-16"}),
        ("a.csv.gz", gzip.compress(b"text,label\nx,y\n", mtime=0), {}),
        ("a.jsonl", '\n{"label": "y", "text": "x"}\n', {}),
        ("a.ndjson", b'\xef\xbb\xbf{"label": "y", "text": "x"}', {}),
    ],
    ids=["tsv", "semicolons", "format", "byte-order-mark", "utf-16", "gzip", "jsonl", "ndjson"],
)
def test_formats(tmp_path, name, content, options):
    assert read(tmp_path / name, content, **options).values == {"text": ["x"], "label": ["y"]}


def test_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    table = {"text": ["x", None], "label": [1, 2], "share": [0.5, float("nan")]}
    pq.write_table(pa.table(table), path)
    columns = read_columns(str(path), ["text", "label", "share"], Reading())
    assert columns.values == {"text": ["x", ""], "label": ["1", "2"], "share": ["0.5", ""]}
    pq.write_table(pa.table({"label": [["a", "b"], []]}), tmp_path / "b.parquet")
    columns = read_columns(str(tmp_path / "b.parquet"), ["label"], Reading())
    assert columns.values == {"label": [["a", "b"], []]}
    with pytest.raises(CommandError, match=r"no column 'lable'.* Did you mean 'label'"):
        read_columns(str(path), ["lable"], Reading())


def test_values_of_json_are_the_text_of_cells(tmp_path):
    rows = [{"text": 5, "label": True}, {"text": 0.5, "label": None}, {"text": ["a", 1]}]
    content = "\n".join(map(json.dumps, rows))
    columns = read(tmp_path / "a.jsonl", content)
    assert columns.values == {"text": ["5", "0.5", ["a", "1"]], "label": ["True", "", ""]}


def test_faults_of_rows_are_found_and_other_columns_are_ignored(tmp_path):
    content = HEADER.encode() + b"1,caf\xe9,a\n2,x,b\n\xff,y,c\n3,x,y,z\n4\n"
    columns = read(tmp_path / "a.csv", content)
    assert columns.faults == {
        0: "bytes that are not in the encoding (first 0xe9)",
        3: "expected 3 cells, found 4",
        4: "expected 3 cells, found 1",
    }
    assert read(tmp_path / "a.csv", content, encoding="cp1252").values["text"][0] == "café"


def test_faults_of_json_lines(tmp_path):
    content = '{"text": "x"}\n{"text"\n[1]\n{"text": {"a": 1}}\n{"text": "\\ud800"}\n'
    faults = read(tmp_path / "a.jsonl", content, "text").faults
    assert sorted(faults) == [1, 2, 3, 4]
    assert faults[2] == "expected a JSON object, found list"
    assert faults[3] == "expected a text, found dict"
    assert faults[4] == "half of a surrogate pair"


def test_ten_million_characters_in_a_cell(tmp_path):
    limit = csv.field_size_limit()
    columns = read(tmp_path / "a.csv", "text\n" + "word " * 2_000_000 + "\n", "text")
    assert len(columns.values["text"][0]) == 10_000_000
    assert csv.field_size_limit() == limit


def test_a_column_may_be_wanted_twice(tmp_path):
    assert read(tmp_path / "a.csv", "text\nx\n", "text", "text").values == {"text": ["x"]}


def test_columns_without_header_are_numbered(tmp_path):
    columns = read(tmp_path / "a.csv", "x,y\nz,w\n", "2", has_header=False)
    assert columns.values == {"2": ["y", "w"]}


def test_quotes_may_be_part_of_the_text(tmp_path):
    content = 'text\tlabel\n"half a quote\tpos\n'
    columns = read(tmp_path / "a.tsv", content, has_quotes=False)
    assert columns.values["text"] == ['"half a quote']
    with pytest.raises(CommandError, match=r"a.tsv, line 2: the quotes .* --no-quotes"):
        read(tmp_path / "a.tsv", content)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "expected a header, found an empty file"),
        ("a.csv", HEADER, "expected rows of data, found none"),
        ("a.csv", "txt,label\nx,y\n", "no column 'text'; the columns are 'txt', 'label'. Did you"),
        ("a.csv", "text;label\nx;y\n", "separated otherwise: --delimiter ';'"),
        ("a.csv", "text,text,label\nx,y,z\n", "expected one column 'text', found 2"),
        ("a.csv", 'text,label\n"x"y,z\n', "line 2: the quotes"),
        ("a.csv", "text,label\n".encode("utf-16"), "found UTF-16. Give --encoding utf-16"),
        ("a.jsonl", '{"txt": 1}\n', "no column 'label'; the columns are 'txt'"),
        ("a.parquet", "text,label\nx,y\n", "a.parquet: cannot be read: "),
        ("a.parquet", gzip.compress(b"PAR1", mtime=0), "found gzip data, expected a Parquet file"),
        ("a.xlsx", "", "Name the format: --format csv, tsv, jsonl or parquet"),
        (
            "a.csv.gz",
            gzip.compress(HEADER.encode() * 99, mtime=0)[:-20],
            "gzip data are damaged or cut off",
        ),
    ],
)
def test_errors_say_what_to_do(tmp_path, name, content, message):
    with pytest.raises((CommandError, ValueError)) as error:
        read(tmp_path / name, content)
    assert message in str(error.value)


def test_a_missing_file_suggests_its_neighbour(tmp_path):
    (tmp_path / "reviews.csv").touch()
    with pytest.raises(CommandError, match=r"No file at .*Did you mean 'reviews.csv'"):
        read_columns(str(tmp_path / "review.csv"), ["text"], Reading())


def test_options_that_have_no_effect_are_refused(tmp_path):
    with pytest.raises(click.UsageError, match="are for CSV and TSV; the data are jsonl"):
        read(tmp_path / "a.jsonl", "{}", delimiter=";")
