"""Coreference: entities in `doc.spans`, on any tok2vec. It knows nothing of ELMo."""
