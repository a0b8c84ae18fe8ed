"""Turn a model entry of the configuration into an exported model."""
