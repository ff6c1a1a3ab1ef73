"""Fitted and loaded models: how they predict, and how model files restore them."""
