"""Explanations as HTML, as text and as a picture."""
