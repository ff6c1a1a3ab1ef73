"""Sentence encoders: opening, tokenization, encoding, cached features, distillation."""
