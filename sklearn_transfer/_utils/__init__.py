"""Helpers without a domain: errors, hashing, atomic writing, validation of texts."""
