"""Reading the options.json and the vocabulary of the original format.

Both 261 and 262 are valid for `n_characters`: bilm-tf uses 261 in training and 262 for inference.
The number of rows in the weight file decides.

REFERENCE: bilm-tf (Peters et al. 2018), `bilm.training` and `bilm.data`, for the keys and their
    defaults.
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
    """Find the options next to a weight file.

    weights (Path): The weight file.
    RETURNS (Path): The options file.
    RAISES (ValueError): If there is no options file, or several and none is named after the
        weights.
    """
    stem = weights.stem.removesuffix("_weights")
    for name in (f"{stem}_options.json", f"{stem}.json", "options.json"):
        if weights.with_name(name).is_file():
            return weights.with_name(name)
    found = sorted(weights.parent.glob("*options*.json"))
    if len(found) == 1:
        return found[0]
    raise ValueError(
        f"No options file for {weights}; expected {stem}_options.json or options.json next to it. "
        f"Give its path as options_file."
    )


def read_options(path: Path) -> dict[str, Any]:
    """Read an options file.

    path (Path): The file.
    RETURNS (Dict[str, Any]): Its content.
    RAISES (ValueError): If the file cannot be read or is not an options file.
    """
    try:
        text = read_bounded(path, MAX_JSON_BYTES)
    except OSError as error:
        raise ValueError(f"The options file {path} cannot be read: {error}.") from error
    return parse_options(text, str(path))


def parse_options(text: bytes, source: str) -> dict[str, Any]:
    """Parse the content of an options file.

    text (bytes): The content.
    source (str): Name of the file for error messages.
    RETURNS (Dict[str, Any]): The options.
    RAISES (ValueError): If the content is not JSON, or not the options of a biLM.
    """
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


def translate_options(raw: dict[str, Any], source: str, names: Sequence[str]) -> BiLMOptions:
    """Convert options of the original format to `BiLMOptions`.

    raw (Dict[str, Any]): The content of the options file.
    source (str): Name of the options file for error messages.
    names (Sequence[str]): Names of the datasets in the weight file, which determine the directions
        and the optional projections of the model.
    RETURNS (BiLMOptions): The options.
    RAISES (ValueError): If a key is missing, or a value is impossible.
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
            # if the weights lack a projection that is needed, an error is raised when they are read
            values[kind] = values[kind] or needed
        return BiLMOptions(**values)
    except KeyError as error:
        raise ValueError(f"The options file {source} lacks the key {error}.") from error
    except (TypeError, AttributeError, OverflowError) as error:
        raise ValueError(
            f"The options file {source} has a value of a wrong type: {error}."
        ) from error
    except ValueError as error:
        # errors of int() and float() do not end with a full stop
        reason = str(error).rstrip(".")
        raise ValueError(
            f"The options file {source} does not describe a biLM: {reason}."
        ) from error


def read_languages(raw: dict[str, Any], source: str) -> tuple[str, ...]:
    """Return the languages of a model, which only `hdf5_writer` stores.

    raw (Dict[str, Any]): The content of the options file.
    source (str): Name of the options file for error messages.
    RETURNS (Tuple[str, ...]): The languages; empty if the file has none.
    RAISES (ValueError): If the value is not a list of languages.
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
            f"n_characters is {n_characters}; it must be 261 (for training) or 262 (for inference)."
        )
    return {
        "filters": tuple((int(width), int(count)) for width, count in char_cnn["filters"]),
        "char_dim": int(char_cnn["embedding"]["dim"]),
        "max_characters": int(char_cnn.get("max_characters_per_token", 50)),
        "activation": str(char_cnn.get("activation", "relu")),
        "n_highway": int(char_cnn.get("n_highway") or 0),
    }


def read_lexicon(weights: Path, vocab_file: PathLike | None, options: BiLMOptions) -> WordLexicon:
    """Read the vocabulary of a model with word input.

    weights (Path): The weight file.
    vocab_file (Optional[Union[str, Path]]): The vocabulary; if None, the one next to the weights.
    options (BiLMOptions): The options of the model.
    RETURNS (WordLexicon): The vocabulary.
    RAISES (ValueError): If there is no vocabulary, or it belongs to another model.
    """
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
    """Find the vocabulary next to a weight file.

    weights (Path): The weight file.
    RETURNS (Path): The vocabulary.
    RAISES (ValueError): If there is none, or several and none is named vocab.txt.
    """
    found = sorted(weights.parent.glob("*vocab*.txt"))
    if weights.with_name("vocab.txt") in found or len(found) == 1:
        return weights.with_name("vocab.txt") if len(found) > 1 else found[0]
    raise ValueError(
        f"{weights} is a model with word input and needs its vocabulary. Put vocab.txt next to it, "
        f"or give its path as vocab_file."
    )


def read_vocab(path: Path) -> list[str]:
    """Read a vocabulary, which has one word per line.

    path (Path): The file.
    RETURNS (List[str]): The words in the order of their ids.
    RAISES (ValueError): If the file cannot be read or is not UTF-8.
    """
    try:
        data = read_bounded(path, MAX_VOCAB_BYTES)
    except OSError as error:
        raise ValueError(f"The vocabulary {path} cannot be read: {error}.") from error
    text = decode_utf8(data, path).removeprefix("\ufeff").replace("\r\n", "\n")
    lines = text.rstrip("\n").split("\n")
    return [line.strip() for line in lines if line.strip() != "!!!MAXTERMID"]
