"""The tokens of Docs as arrays, and the segments that the biLM reads."""
