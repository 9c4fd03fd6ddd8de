"""Sizes and switches of a biLM, checked against each other.

The readers in `spacy_elmo.weights` convert the options of their formats to `BiLMOptions`.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

BYTES = "bytes"
CHARACTERS = "characters"
N_BYTE_CHARACTERS = 261  # 256 bytes and five special characters


@dataclass(frozen=True)
class BiLMOptions:
    """Options that determine the shapes and the computation of a biLM.

    hidden_dim (int): Width H of the LSTM's memory cell.
    projection_dim (int): Width P of the token vectors and of the LSTM's output.
    n_layers (int): Number of LSTM layers.
    filters (Tuple[Tuple[int, int], ...]): Width and number of filters of each convolution over
        the characters; empty for a model without character input.
    char_unit (str): "bytes" (UTF-8, a fixed table) or "characters" (a lexicon).
    n_characters (int): Rows of the character table.
    char_dim (int): Width of a character vector.
    max_characters (int): Positions of a word, including its start and its end.
    activation (str): "relu" or "tanh", applied after the convolutions.
    n_highway (int): Number of highway layers after the convolutions.
    n_words (int): Rows of the word table; 0 for a model without word input.
    word_dim (int): Width of a word vector; 0 for a model without word input.
    token_projection (bool): Whether a linear layer maps the features to P.
    state_projection (bool): Whether the LSTM's output is projected from H to P.
    cell_clip (Optional[float]): Bound of the memory cell; None to not clip.
    proj_clip (Optional[float]): Bound of the projected output; None to not clip.
    skip_connections (bool): Whether each layer from the second on adds its input to its output.
    bidirectional (bool): Whether the model has a backward direction.
    RAISES (ValueError): If an option is out of range, or if two options contradict each other.
    """

    hidden_dim: int
    projection_dim: int
    n_layers: int = 2
    filters: tuple[tuple[int, int], ...] = ()
    char_unit: str = BYTES
    n_characters: int = N_BYTE_CHARACTERS
    char_dim: int = 16
    max_characters: int = 50
    activation: str = "relu"
    n_highway: int = 0
    n_words: int = 0
    word_dim: int = 0
    token_projection: bool = True
    state_projection: bool = True
    cell_clip: float | None = 3.0
    proj_clip: float | None = 3.0
    skip_connections: bool = True
    bidirectional: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "filters", tuple((int(w), int(n)) for w, n in self.filters))
        for name in ("hidden_dim", "projection_dim", "n_layers"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        _require(self.n_highway >= 0, "n_highway", self.n_highway, "0 or more")
        _require(
            self.activation in ("relu", "tanh"), "activation", self.activation, "'relu' or 'tanh'"
        )
        _require(
            self.char_unit in (BYTES, CHARACTERS),
            "char_unit",
            self.char_unit,
            f"'{BYTES}' or '{CHARACTERS}'",
        )
        for name in ("cell_clip", "proj_clip"):
            value = getattr(self, name)
            _require(value is None or value > 0, name, value, "above 0, or none")
        _require(
            bool(self.filters) or self.word_dim > 0,
            "filters",
            self.filters,
            "at least one [width, count] pair, as the model has no word vectors",
        )
        if self.filters:
            _require(self.char_dim >= 1, "char_dim", self.char_dim, "at least 1")
            widest = max(width for width, _ in self.filters)
            _require(
                all(width >= 1 and count >= 1 for width, count in self.filters),
                "filters",
                self.filters,
                "[width, count] pairs above 0",
            )
            _require(
                self.max_characters >= max(3, widest),
                "max_characters",
                self.max_characters,
                f"at least {max(3, widest)}, the widest filter",
            )
        if not self.token_projection:
            _require(
                self.n_features == self.projection_dim,
                "projection_dim",
                self.projection_dim,
                f"{self.n_features}, the number of features, as no layer projects them",
            )
        if not self.state_projection:
            _require(
                self.hidden_dim == self.projection_dim,
                "projection_dim",
                self.projection_dim,
                f"{self.hidden_dim}, the cell's size, as no layer projects the output",
            )

    @property
    def n_filters(self) -> int:
        """Number F of filters."""
        return sum(count for _, count in self.filters)

    @property
    def n_features(self) -> int:
        """Width of a word's features before the token projection."""
        return self.n_filters + self.word_dim

    @property
    def n_directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def width(self) -> int:
        """Width of a reported layer: 2P, or P for a unidirectional model."""
        return self.n_directions * self.projection_dim

    @property
    def n_reported(self) -> int:
        """Number of reported layers: the token layer and the LSTM layers."""
        return self.n_layers + 1

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (Dict[str, Any]): The options as JSON values."""
        values = asdict(self)
        values["filters"] = [list(pair) for pair in self.filters]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "BiLMOptions":
        """Read the options that `to_dict` returned.

        values (Dict[str, Any]): The options.
        RETURNS (BiLMOptions): The options.
        RAISES (ValueError): If a name is unknown or an option is invalid.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(
                f"The biLM options hold {', '.join(unknown)}, which this version does not know. "
                f"A newer version of spacy-elmo may have written them."
            )
        return cls(**values)


def _require(holds: bool, name: str, found: Any, expected: str) -> None:
    if not holds:
        raise ValueError(f"The biLM option '{name}' is {found!r}; it must be {expected}.")
