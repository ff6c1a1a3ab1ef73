"""Contributions of tokens and features to the outputs of a fitted model, and their views."""
