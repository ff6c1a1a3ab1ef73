"""Sentence encoders: opening, encoding, caching, distillation."""
