"""Word senses on any tok2vec: each use of a word gets the sense with the nearest mean vector."""
