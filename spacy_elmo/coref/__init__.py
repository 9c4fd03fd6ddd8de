"""Coreference on any tok2vec: clusters of mentions in `doc.spans`."""
