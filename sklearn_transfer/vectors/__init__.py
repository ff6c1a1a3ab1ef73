"""Tables of pretrained vectors."""
