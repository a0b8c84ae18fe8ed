"""Look-ups of the rules in the checked configuration. Nothing here runs in an engine's child process."""
