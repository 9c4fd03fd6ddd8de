"""Pretraining a biLM on raw text."""
