"""The features of a bag of words: token columns, and pretrained columns next to them."""
