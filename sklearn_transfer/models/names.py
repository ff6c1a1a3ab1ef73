"""The modules that parameters name, as strings: importing them costs no torch."""

READER_NAMES = ("mean", "attention", "cnn", "rnn")
ACTIVATION_NAMES = ("identity", "relu", "gelu", "tanh", "logistic")
