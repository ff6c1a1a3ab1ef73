"""Vectors in a notebook."""

import pickle
import warnings

import numpy as np

from sklearn_transfer import PretrainedVectors


def test_the_description_names_size_type_and_words():
    words = ["good", "great", "fine", "bad", "awful", "poor", *map(str, range(1000, 2000))]
    shown = PretrainedVectors(words, np.ones((1006, 4)))._repr_html_()
    for text in ("PretrainedVectors", ">1,006<", ">4<", ">float32<", ">in memory<", ">lower case<"):
        assert text in shown
    assert ">good great fine bad awful poor<" in shown


def test_markup_in_words_and_names_is_escaped_and_long_words_are_cut():
    words = ["<script>alert(1)</script>", "x" * 500, "Ä"]
    shown = PretrainedVectors(words, np.eye(3), name="<b>")._repr_html_()
    assert "<script>" not in shown
    assert "<b>" not in shown
    assert "PretrainedVectors &lt;b&gt;" in shown
    assert ">&lt;script&gt;alert(1)&lt;/sc xxxxxxxxxxxxxxxxxxxx Ä<" in shown


def test_a_file_is_named_and_a_missing_one_is_not_opened(vectors, tmp_path):
    saved = vectors.save(tmp_path / "saved")
    assert str(tmp_path / "saved") in saved._repr_html_()
    stored = pickle.dumps(saved)
    del saved
    (tmp_path / "saved").rename(tmp_path / "moved")
    from sklearn_transfer._utils.objects.memo import clear_memos

    clear_memos()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        missing = pickle.loads(stored)
    assert missing.is_missing
    assert ">not opened<" in missing._repr_html_()
    assert missing.is_missing
