"""Pretrained models ranked by the suitability of their features for a task."""
