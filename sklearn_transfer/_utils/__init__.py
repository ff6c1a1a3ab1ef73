"""Helpers without a domain of their own: errors, validation, devices."""
