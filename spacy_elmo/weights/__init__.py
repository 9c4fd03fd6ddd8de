"""Loading biLMs from every known format, and saving them in our format or as bilm-tf files."""

from .formats import load_bilm, save_bilm

__all__ = ["load_bilm", "save_bilm"]
