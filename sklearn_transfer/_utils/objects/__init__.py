"""Copies, clones, pickles and states of Python objects."""
