"""Helpers without a domain: errors, hashing, atomic writing, memos, validation of texts."""
