"""Texts to tokens: patterns, ids, places in the text, and the share that sources cover."""
