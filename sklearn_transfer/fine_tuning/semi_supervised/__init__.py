"""Samples without a label, and self-training on them."""
