"""Samples of a data file: rows that cannot be used, duplicates, held-out rows."""

from __future__ import annotations

import io

import numpy as np
import pytest

from sklearn_transfer.cli.console import CommandError, Console
from sklearn_transfer.cli.data import Columns
from sklearn_transfer.cli.samples import (
    Samples,
    Target,
    make_samples,
    note_duplicates,
    note_numbers,
    note_overlap,
    split_samples,
    to_array,
)

CONSOLE = Console(io.StringIO())


def columns(texts: list, labels: list, **options) -> Columns:
    lines = list(range(2, len(texts) + 2))
    return Columns("a.csv", {"text": texts, "label": labels}, lines, **options)


def samples(texts: list[str], targets: list) -> Samples:
    return Samples(texts, list(range(1, len(texts) + 1)), targets)


def test_rows_that_cannot_be_used_are_named_by_reason():
    found = columns(["x", " ", "y", "z"], ["a", "a", "", " "], faults={3: "2 cells in place of 3"})
    with pytest.raises(CommandError) as error:
        make_samples(found, "text", Target("label"), CONSOLE, skip_bad=False)
    assert error.value.message == (
        "a.csv: 3 of 4 rows cannot be used. no text: row 2 (line 3); no label: row 3 (line 4); 2 "
        "cells in place of 3: row 4 (line 5). Mend them, or leave them out: --skip-bad"
    )


def test_rows_are_left_out_and_counted_on_request(capsys):
    found = columns(["x", "", "y"], ["a", "a", "b "])
    made = make_samples(found, "text", Target("label"), CONSOLE, skip_bad=True)
    assert (made.texts, made.rows, made.targets) == (["x", "y"], [1, 3], ["a", "b"])
    assert made.n_skipped == 1
    assert "Note: a.csv: left out 1 of 3 rows. no text: row 2 (line 3)." in capsys.readouterr().err


def test_nothing_left_is_an_error():
    with pytest.raises(CommandError, match="none of the 1 rows can be used"):
        make_samples(columns([""], ["a"]), "text", Target("label"), CONSOLE, skip_bad=True)


def test_many_rows_are_counted():
    found = columns(["x"] * 15, [""] * 15)
    with pytest.raises(CommandError, match=r"rows 1, 2, .* 10 \(lines 2, .* 11\) and 5 more"):
        make_samples(found, "text", Target("label"), CONSOLE, skip_bad=False)


def test_without_target_an_empty_text_is_a_text(capsys):
    made = make_samples(columns(["x", ""], ["", ""]), "text", None, CONSOLE, skip_bad=False)
    assert made.texts == ["x", ""]
    assert "Note: a.csv: no text: row 2 (line 3)." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cell", "message"), [("1,5", "no number ('1,5')"), ("nan", "no finite number")]
)
def test_values_are_finite_numbers(cell, message):
    assert Target("y", is_number=True).parse(cell) == (None, message)
    assert Target("y", is_number=True).parse(" 1e3 ") == (1000.0, "")


def test_several_labels_are_split_and_may_be_none():
    target = Target("y", separator=";")
    assert target.parse("b; a;b;") == (["b", "a"], "")
    assert target.parse("") == ([], "")
    assert target.parse(["a", "b"]) == (["a", "b"], "")
    assert Target("y").parse(["a", "b"]) == (None, "several labels; give --separator")
    frame = to_array([["b", "a"], [], ["b"]], target)
    assert frame.columns == ["a", "b"]
    assert frame.to_numpy().tolist() == [[1, 1], [0, 0], [0, 1]]


def test_duplicates_and_conflicts_are_counted(capsys):
    assert note_duplicates(samples(["x", "x", "y", "y"], ["a", "a", "a", "b"]), CONSOLE) == 2
    assert "earlier text: 2; texts with several targets: 1." in capsys.readouterr().err
    assert note_duplicates(samples(["x", "y"], ["a", "a"]), CONSOLE) == 0


def test_labels_that_look_like_values_are_noticed(capsys):
    numbers = samples(["x"] * 30, [str(i / 2) for i in range(30)])
    note_numbers(numbers, Target("y"), CONSOLE)
    assert "30 different numbers, and each is a class; to predict values" in capsys.readouterr().err
    note_numbers(samples(["x"] * 30, [f"c{i}" for i in range(30)]), Target("y"), CONSOLE)
    note_numbers(samples(["x"] * 30, [str(i % 5) for i in range(30)]), Target("y"), CONSOLE)
    assert not capsys.readouterr().err


def test_common_texts_of_training_and_test_are_counted(capsys):
    train = samples(["x", "y"], ["a", "b"])
    note_overlap(train, samples(["x", "z", "x"], ["a", "b", "a"]), CONSOLE)
    assert "also training texts: 1." in capsys.readouterr().err
    note_overlap(train, samples(["z"], ["a"]), CONSOLE)
    assert not capsys.readouterr().err


def test_held_out_samples_are_stratified_and_share_no_text():
    texts = [f"text {i % 40}" for i in range(100)]
    given = samples(texts, ["a" if i % 40 < 30 else "b" for i in range(100)])
    train, held_out = split_samples(given, 0.2, 0, stratified=True)
    assert not set(train.texts) & set(held_out.texts)
    assert len(set(held_out.texts)) == 8
    assert sorted(train.rows + held_out.rows) == given.rows
    assert len({t for t, y in zip(held_out.texts, held_out.targets, strict=True) if y == "b"}) == 2
    again = split_samples(given, 0.2, 0, stratified=True)[1]
    assert np.array_equal(again.rows, held_out.rows)


def test_a_share_of_nothing_is_an_error():
    with pytest.raises(CommandError, match=r"--holdout 0.1 of 2 distinct texts .* or --test"):
        split_samples(samples(["x", "y"], ["a", "b"]), 0.1, 0, stratified=True)
