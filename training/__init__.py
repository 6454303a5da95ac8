"""What made the weights: data, augmentation, the training loop, evaluation and publishing."""
