"""Texts to numbers, with NumPy and SciPy."""
