"""Reading directories of ELMoForManyLangs: lexicons, an architecture and two torch pickles.

ELMoForManyLangs swaps the characters for the start and the end of a word; `LexiconCharacters`
reproduces this.

REFERENCE: ELMoForManyLangs (Che et al. 2018), `elmoformanylangs.elmo`, for the files and their
    defaults.
"""

import json
from pathlib import Path, PureWindowsPath
from typing import Any

from torch import Tensor

from ..bilm.bilm import BiLM
from ..bilm.characters import LexiconCharacters, WordLexicon
from ..bilm.options import BYTES, CHARACTERS, N_BYTE_CHARACTERS, BiLMOptions
from ..files.decoding import decode_utf8
from ..files.digest import MAX_JSON_BYTES, MAX_VOCAB_BYTES, read_bounded
from ..files.paths import PathLike
from .build import build_bilm
from .layouts import StateDict, TokenNames, read_features, read_lstms
from .torch_files import load_state_dict

CONFIG, CHARS, WORDS = "config.json", "char.dic", "word.dic"
EMBEDDER, ENCODER = "token_embedder.pkl", "encoder.pkl"
CHAR_TABLE, WORD_TABLE = "char_emb_layer.embedding.weight", "word_emb_layer.embedding.weight"
NAMES = TokenNames("convolutions.{}", "highways._layers.{}", "projection")
SPECIAL_WORDS = ("<oov>", "<bos>", "<eos>")  # unknown, start, end
SUPPORTED = {"token_embedder": "cnn", "encoder": "elmo"}
IDEOGRAPHIC_SPACE = "\u3000"

# the fallback of ELMoForManyLangs; all published models have this architecture
DEFAULT_NAME = "cnn_50_100_512_4096_sample.json"
DEFAULT: dict[str, Any] = {
    "encoder": {
        "name": "elmo",
        "projection_dim": 512,
        "cell_clip": 3,
        "proj_clip": 3,
        "dim": 4096,
        "n_layers": 2,
    },
    "token_embedder": {
        "name": "cnn",
        "activation": "relu",
        "filters": [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]],
        "n_highway": 2,
        "word_dim": 100,
        "char_dim": 50,
        "max_characters_per_token": 50,
    },
}


def is_many_langs(path: Path) -> bool:
    """Return whether a directory contains a model of ELMoForManyLangs."""
    lexicons = (path / CHARS).is_file() or (path / WORDS).is_file()
    return lexicons and (path / ENCODER).is_file()


def read(path: PathLike) -> BiLM:
    """Load a directory of ELMoForManyLangs.

    path (Union[str, Path]): The directory.
    RETURNS (BiLM): The model, frozen, on the CPU.
    RAISES (ValueError): If a file is missing or damaged, the architecture is not supported, or the
        files do not match each other.
    """
    path = Path(path)
    name, architecture = _architecture(path)
    embedder = StateDict(_load(path, EMBEDDER), str(path / EMBEDDER), basis=name)
    encoder = StateDict(_load(path, ENCODER), str(path / ENCODER), basis=name)
    options = _options(architecture, name, embedder)
    tensors = read_features(embedder, NAMES, options)
    characters = words = None
    if options.filters:
        shape = options.n_characters, options.char_dim
        tensors["tokens.char_cnn.embedding"] = embedder.get(CHAR_TABLE, *shape)
        characters = LexiconCharacters(
            _lexicon(path / CHARS, shape[0], LexiconCharacters.SPECIAL), options.max_characters
        )
    if options.word_dim:
        shape = options.n_words, options.word_dim
        tensors["tokens.word_embedding"] = embedder.get(WORD_TABLE, *shape)
        words = WordLexicon(
            _lexicon(path / WORDS, shape[0], SPECIAL_WORDS), *SPECIAL_WORDS, options.max_characters
        )
    tensors.update(read_lstms(encoder, "", options))
    embedder.check_all_read()
    encoder.check_all_read()
    return build_bilm(options, tensors, str(path), characters, words)


def _load(path: Path, name: str) -> dict[str, Tensor]:
    if not (path / name).is_file():
        raise ValueError(
            f"{path} has no {name}; expected {ENCODER} and {EMBEDDER} next to the lexicons of an "
            f"ELMoForManyLangs model. Unpack the model again."
        )
    return load_state_dict(path / name, str(path / name))


def _architecture(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the name of the architecture for error messages, and the architecture. The config
    contains the path of the architecture on another machine; only the file name is used."""
    config_path = ""
    if (path / CONFIG).is_file():
        config_path = str(_read_json(path / CONFIG).get("config_path", ""))
    name = PureWindowsPath(config_path).name  # accepts both kinds of slashes
    if name and (path / name).is_file():
        return str(path / name), _read_json(path / name)
    return f"the default architecture {DEFAULT_NAME}", DEFAULT


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(read_bounded(path, MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}. Unpack the model again.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a {type(values).__name__}; expected a JSON object.")
    return values


def _options(architecture: dict[str, Any], name: str, embedder: StateDict) -> BiLMOptions:
    try:
        for module, supported in SUPPORTED.items():
            found = architecture[module].get("name", supported)
            if str(found).lower() != supported:
                raise ValueError(
                    f"its {module} is {found!r}; only '{supported}' is supported, which all "
                    f"published models have."
                )
        tokens, encoder = architecture["token_embedder"], architecture["encoder"]
        values: dict[str, Any] = {
            "hidden_dim": int(encoder["dim"]),
            "projection_dim": int(encoder["projection_dim"]),
            "n_layers": int(encoder["n_layers"]),
            "cell_clip": _clip(encoder, "cell_clip"),
            "proj_clip": _clip(encoder, "proj_clip"),
            "max_characters": int(tokens["max_characters_per_token"]),
            "char_unit": BYTES,
            "n_characters": N_BYTE_CHARACTERS,
        }
        if int(tokens["char_dim"]) > 0:
            values["filters"] = tuple((int(width), int(n)) for width, n in tokens["filters"])
            values["activation"] = str(tokens["activation"])
            values["n_highway"] = int(tokens["n_highway"])
            values["char_dim"] = int(tokens["char_dim"])
            values["char_unit"] = CHARACTERS
            values["n_characters"] = embedder.shape(CHAR_TABLE, 2)[0]
        if int(tokens["word_dim"]) > 0:
            values["word_dim"] = int(tokens["word_dim"])
            values["n_words"] = embedder.shape(WORD_TABLE, 2)[0]
        return BiLMOptions(**values)
    except KeyError as error:
        raise ValueError(f"The architecture {name} lacks the key {error}.") from error
    except (TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"The architecture {name} has a wrong value: {error}.") from error
    except ValueError as error:
        # errors of int() and float() do not end with a full stop
        reason = str(error).rstrip(".")
        raise ValueError(f"The architecture {name} does not describe a biLM: {reason}.") from error


def _clip(encoder: dict[str, Any], name: str) -> Any:
    return float(encoder[name]) if encoder.get(name) else None


def _lexicon(path: Path, n_rows: int, special: tuple[str, ...]) -> list[str]:
    """Read a lexicon as ELMoForManyLangs does.

    ELMoForManyLangs strips a line before splitting it, which removes an entry that is whitespace.
    It reads a line with only an id as the entry U+3000. If several lines have the same entry, the
    last one counts. The rows of the others get a placeholder with a tab, which no entry contains.

    path (Path): The file, with an entry, a tab and an id per line.
    n_rows (int): Number of rows of the embedding table.
    special (Tuple[str, ...]): Entries that must exist.
    RETURNS (List[str]): The entries in the order of their ids.
    RAISES (ValueError): If a line is malformed, an id occurs twice, or a special entry is missing.
    """
    try:
        data = read_bounded(path, MAX_VOCAB_BYTES)
    except OSError as error:
        raise ValueError(f"The lexicon {path} cannot be read: {error}.") from error
    lines = decode_utf8(data, path).split("\n")
    ids: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        fields = line.strip().split("\t")
        if fields == [""]:
            continue
        if len(fields) == 1:
            fields = [IDEOGRAPHIC_SPACE, *fields]
        if len(fields) != 2 or not fields[1].isdecimal() or int(fields[1]) >= n_rows:
            raise ValueError(
                f"{path}, line {number}, is {line!r}; expected an entry, a tab and an id below "
                f"{n_rows}, the number of rows in {EMBEDDER}. The file is damaged or belongs to "
                f"another model."
            )
        ids[fields[0]] = int(fields[1])
    entries = [f"\t{row}" for row in range(n_rows)]
    for entry, row in ids.items():
        if not entries[row].startswith("\t"):
            raise ValueError(
                f"{path} gives the id {row} to both {entries[row]!r} and {entry!r}; expected one "
                f"entry for each id. The file is damaged."
            )
        entries[row] = entry
    missing = [name for name in special if name not in ids]
    if missing:
        raise ValueError(
            f"{path} lacks {', '.join(missing)}; expected {', '.join(special)} among its "
            f"{len(ids)} entries. The file is damaged or belongs to another model."
        )
    return entries
