"""One fit: configuration, inputs, targets, training, calibration."""
