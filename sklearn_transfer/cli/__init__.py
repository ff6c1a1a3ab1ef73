"""The command ``sklearn-transfer``: options, data files and outputs; no models of its own."""
