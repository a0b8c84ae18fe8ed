"""Images and labels: decoding, normalising, the index of a split, its shards, colours and pictures."""
