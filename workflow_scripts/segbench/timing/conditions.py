"""The conditions that a start of a row is timed in."""

WARM, COLD, OWN_CACHE = "warm", "cold", "own cache"
IN_WORDS = {WARM: "warm", COLD: "page cache cold", OWN_CACHE: "warm, engine’s own cache filled"}
