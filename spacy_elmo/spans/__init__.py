"""Vectors and scores of spans on any tok2vec, for `coref` and for spaCy's span categorizers."""
