"""Attribution of logits to inputs: exact sums, integrated gradients, occlusion."""
