"""Fitted models in the forms of other programs; model files of our own are in persistence."""
