"""The kinds of inputs that a fit accepts, one per file."""
