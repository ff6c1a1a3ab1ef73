"""``python -m sklearn_transfer`` is the command ``sklearn-transfer``."""

from .cli.entry import main

if __name__ == "__main__":
    main()
