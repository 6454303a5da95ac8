"""Training code: data, augmentation, the training loop, evaluation and publishing."""
