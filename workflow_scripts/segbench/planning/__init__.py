"""What the rules look up in the checked configuration. Nothing here runs in an engine's child process."""
