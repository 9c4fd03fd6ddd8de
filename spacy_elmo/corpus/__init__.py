"""Raw text to tokenized corpora."""
