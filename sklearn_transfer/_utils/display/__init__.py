"""Names, texts and tables of users on their screens."""
