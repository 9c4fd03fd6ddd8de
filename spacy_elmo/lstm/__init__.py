"""The LSTM engine: layers with projection and clipping on packed sequences."""
