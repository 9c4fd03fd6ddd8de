"""Vectors and scores of spans, for `coref` and for spaCy's span categorizers. Knows no ELMo."""
