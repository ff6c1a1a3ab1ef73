"""Design matrices, and linear models on them: by NumPy and SciPy, without torch."""
