"""Labels, values and class names to numbers, and logits back to what users see."""
