"""Sizes and settings of the head of `coref`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HeadSettings:
    """Sizes and settings of the head; see `build_coref_v1`."""

    distance_embedding_size: int = 20
    hidden_size: int = 150
    depth: int = 1
    dropout: float = 0.3
    antecedent_limit: int = 50
    max_span_width: int = 20
    spans_per_token: float = 0.3
    lstm_size: int = 200
    mention_weight: float = 1.0
    window: int = 2048
    max_entities: int = 1000
    use_speakers: bool = False
    use_genres: bool = False
