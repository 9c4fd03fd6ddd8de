"""The options.json of the original format, and the files around a weight file.

Owns which keys there are and what their absence means. Both 261 and 262 are right
for `n_characters`: one is the training, the other the inference convention, and the
rows of the weight file decide.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..bilm.characters import WordLexicon
from ..bilm.languages import languages_of
from ..bilm.options import N_BYTE_CHARACTERS, BiLMOptions
from ..files.decoding import decode_utf8
from ..files.digest import MAX_JSON_BYTES, MAX_VOCAB_BYTES, read_bounded
from ..files.paths import PathLike

SPECIAL_WORDS = ("<UNK>", "<S>", "</S>")  # unknown, start, end


def find_options(weights: Path) -> Path:
    """RETURNS (Path): The options beside a weight file."""
    stem = weights.stem.removesuffix("_weights")
    for name in (f"{stem}_options.json", f"{stem}.json", "options.json"):
        if weights.with_name(name).is_file():
            return weights.with_name(name)
    found = sorted(weights.parent.glob("*options*.json"))
    if len(found) == 1:
        return found[0]
    raise ValueError(
        f"No options file for {weights}: looked for {stem}_options.json and options.json beside "
        f"it. Give its path as options_file."
    )


def read_options(path: Path) -> dict[str, Any]:
    """RETURNS (Dict[str, Any]): The content of an options file."""
    try:
        text = read_bounded(path, MAX_JSON_BYTES)
    except OSError as error:
        raise ValueError(f"The options file {path} cannot be read: {error}.") from error
    return parse_options(text, str(path))


def parse_options(text: bytes, source: str) -> dict[str, Any]:
    """As `read_options`, from the bytes of a file named `source`."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The options file {source} is not valid JSON: {error}.") from error
    if not isinstance(values, dict) or not isinstance(values.get("lstm"), dict):
        raise ValueError(
            f"{source} is not an options file of a biLM: it must be a JSON object with a key "
            f"'lstm'."
        )
    return values


def options_of(raw: dict[str, Any], source: str, names: Sequence[str]) -> BiLMOptions:
    """Translate original options.

    raw (Dict[str, Any]): The content of the options file.
    source (str): The options file, for error messages.
    names (Sequence[str]): Datasets of the weight file; they tell which of the
        optional projections a model has, and how many rows its word table.
    RETURNS (BiLMOptions): The options.
    """
    try:
        lstm = raw["lstm"]
        values: dict[str, Any] = {
            "hidden_dim": int(lstm["dim"]),
            "projection_dim": int(lstm["projection_dim"]),
            "n_layers": int(lstm.get("n_layers", 1)),
            "cell_clip": float(lstm["cell_clip"]) if lstm.get("cell_clip") else None,
            "proj_clip": float(lstm["proj_clip"]) if lstm.get("proj_clip") else None,
            "skip_connections": bool(lstm.get("use_skip_connections", False)),
            "token_projection": "CNN_proj/W_proj" in names,
            "state_projection": any(n.endswith(("/W_P_0", "/projection/kernel")) for n in names),
            "bidirectional": not any(name.startswith("rnn/") for name in names),
        }
        if "char_cnn" in raw:
            values.update(_char_options(raw["char_cnn"]))
        else:
            values.update(word_dim=values["projection_dim"], n_words=int(raw["n_tokens_vocab"]))
        n_filters = sum(int(count) for _, count in values.get("filters", ()))
        for kind, needed in (
            ("token_projection", n_filters not in (0, values["projection_dim"])),
            ("state_projection", values["hidden_dim"] != values["projection_dim"]),
        ):
            values[kind] = values[kind] or needed  # if it is missing, reading it will say so
        return BiLMOptions(**values)
    except KeyError as error:
        raise ValueError(f"The options file {source} lacks the key {error}.") from error
    except (TypeError, AttributeError, OverflowError) as error:
        raise ValueError(
            f"The options file {source} has a value of a wrong type: {error}."
        ) from error
    except ValueError as error:
        raise ValueError(f"The options file {source} does not describe a biLM: {error}") from error


def read_languages(raw: dict[str, Any], source: str) -> tuple[str, ...]:
    """Return the languages in an options file that `hdf5_writer` wrote; none in others.

    raw (Dict[str, Any]): The content of the options file.
    source (str): The options file, for error messages.
    RETURNS (Tuple[str, ...]): The languages.
    """
    try:
        return languages_of(raw.get("languages", []))
    except TypeError as error:
        raise ValueError(
            f"The options file {source} has a value of a wrong type: {error}."
        ) from error


def _char_options(char_cnn: dict[str, Any]) -> dict[str, Any]:
    n_characters = char_cnn.get("n_characters", N_BYTE_CHARACTERS)
    if n_characters not in (N_BYTE_CHARACTERS, N_BYTE_CHARACTERS + 1):
        raise ValueError(
            f"n_characters is {n_characters}; it must be 261 (as for training) or 262 (as for use)."
        )
    return {
        "filters": tuple((int(width), int(count)) for width, count in char_cnn["filters"]),
        "char_dim": int(char_cnn["embedding"]["dim"]),
        "max_characters": int(char_cnn.get("max_characters_per_token", 50)),
        "activation": str(char_cnn.get("activation", "relu")),
        "n_highway": int(char_cnn.get("n_highway") or 0),
    }


def read_lexicon(weights: Path, vocab_file: PathLike | None, options: BiLMOptions) -> WordLexicon:
    """RETURNS (WordLexicon): The vocabulary given, or else the one beside a weight file."""
    path = Path(vocab_file) if vocab_file is not None else find_vocab(weights)
    words = read_vocab(path)
    if len(words) != options.n_words:
        raise ValueError(
            f"The vocabulary {path} holds {len(words)} words, but the weights {weights} are for "
            f"{options.n_words}. The vocabulary belongs to another model."
        )
    try:
        return WordLexicon(words, *SPECIAL_WORDS)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def find_vocab(weights: Path) -> Path:
    """RETURNS (Path): The vocabulary beside a weight file."""
    found = sorted(weights.parent.glob("*vocab*.txt"))
    if weights.with_name("vocab.txt") in found or len(found) == 1:
        return weights.with_name("vocab.txt") if len(found) > 1 else found[0]
    raise ValueError(
        f"{weights} is a model over word ids and needs its vocabulary: put vocab.txt beside it or "
        f"give its path as vocab_file."
    )


def read_vocab(path: Path) -> list[str]:
    """RETURNS (List[str]): One word a line, in the order of their ids."""
    try:
        data = read_bounded(path, MAX_VOCAB_BYTES)
    except OSError as error:
        raise ValueError(f"The vocabulary {path} cannot be read: {error}.") from error
    text = decode_utf8(data, path).removeprefix("\ufeff").replace("\r\n", "\n")
    lines = text.rstrip("\n").split("\n")
    return [line.strip() for line in lines if line.strip() != "!!!MAXTERMID"]
