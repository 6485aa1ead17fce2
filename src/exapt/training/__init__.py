"""The one training loop, its specs, and pre-training as a whole."""
