"""The shipped configs with sizes and steps overridden, small enough to train in a test."""

from pathlib import Path
from typing import Any

from spacy.util import load_config
from thinc.api import Config

CONFIGS = Path(__file__).parent.parent / "configs"
N_STEPS = 3
# values of settings with these names, in any block
SIZES: dict[str, Any] = {
    "cache_mb": 64,
    "batch_tokens": 1024,
    "hidden_width": 16,
    "hidden_size": 16,
    "lstm_size": 8,
    "max_span_width": 3,
    "sizes": [1, 2, 3],
    "rows": [50, 20, 30, 20],
    "widths": [8, 4, 2, 2],  # they add up to `width`, as in the shipped configs
    "depth": 1,
    "maxout_pieces": 2,
    "width": 16,
}
TRAINING: dict[str, Any] = {
    "training.batcher.size": 50,
    "training.dropout": 0.1,
    "training.eval_frequency": 1,
    "training.max_steps": N_STEPS,
    "training.optimizer.learn_rate.initial_rate": 0.01,
    "training.optimizer.learn_rate.total_steps": N_STEPS,
    "training.optimizer.learn_rate.warmup_steps": 1,
}


def load_tiny_config(path: Path, **overrides: Any) -> Config:
    """Read a shipped config with small sizes.

    path (Path): The config.
    **overrides: Further settings by their path, with "__" between the names of blocks.
    RETURNS (Config): The config, not interpolated.
    """
    settings = {**_sizes(load_config(path, interpolate=False)["components"], "components")}
    settings |= TRAINING
    settings |= {name.replace("__", "."): value for name, value in overrides.items()}
    return load_config(path, overrides=settings, interpolate=False)


def _sizes(block: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the overrides of a block. References to other settings and the sizes of the biLM are
    not overridden."""
    found: dict[str, Any] = {}
    is_bilm = block.get("@architectures") == "spacy-elmo.BiLM.v1"
    for name, value in block.items():
        if isinstance(value, dict):
            found |= _sizes(value, f"{path}.{name}")
        elif (
            name in SIZES
            and not isinstance(value, str)
            and not (is_bilm and name != "batch_tokens")
        ):
            found[f"{path}.{name}"] = SIZES[name]
    return found
