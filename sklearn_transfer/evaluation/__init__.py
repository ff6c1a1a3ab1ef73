"""Evaluation of transfer: a fine-tuned model compared with models without transfer."""
