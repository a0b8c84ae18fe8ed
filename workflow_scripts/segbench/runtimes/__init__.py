"""What the engines of one family share; an engine itself is one file in ."""
