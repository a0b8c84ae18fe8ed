"""What Paddle Inference leaves in its cache and writes to its log."""
