"""How a model entry of the configuration becomes an exported model."""
