"""Reading and writing biLMs: every format in, ours and the original's out."""

from .formats import load_bilm, save_bilm

__all__ = ["load_bilm", "save_bilm"]
