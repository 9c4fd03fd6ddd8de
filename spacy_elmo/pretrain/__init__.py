"""Training a biLM of one's own on text."""
