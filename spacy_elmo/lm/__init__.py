"""The language model on top of a biLM: softmaxes, vocabulary, evaluation and scoring."""
