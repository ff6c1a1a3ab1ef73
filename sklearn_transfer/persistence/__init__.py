"""Model files without pickle: a folder or a zip of JSON, tensors and vectors, and never code."""
