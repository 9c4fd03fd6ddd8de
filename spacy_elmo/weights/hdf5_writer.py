"""Writing the original format: HDF5 weights with an options.json, as `hdf5` reads them.

REFERENCE: bilm-tf (Peters et al. 2018), `bilm.training.dump_weights`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from ..bilm.bilm import BiLM
from ..bilm.char_cnn import Highway
from ..bilm.options import BYTES, N_BYTE_CHARACTERS, BiLMOptions
from ..files.atomic import atomic_files
from ..files.digest import BLANK, KEY, write_seal
from ..files.hdf5_file import new_hdf5
from ..files.paths import PathLike
from ..lstm.lstm import LSTMLayer
from .hdf5 import (
    BIAS,
    CELLS,
    CONFIG,
    KERNEL,
    PROJECTION,
    ROOTS,
    SEAL_BYTES,
    WORDS,
    holds_bilm,
    is_named_hdf5,
    reads_words,
)
from .hdf5_options import SPECIAL_WORDS
from .layouts import gates_to_original


def write(bilm: BiLM, path: PathLike, options_file: PathLike | None = None) -> Path:
    """Save a biLM in the original format, which other ELMo software loads.

    bilm (BiLM): The model.
    path (Union[str, Path]): The HDF5 file to write.
    options_file (Optional[Union[str, Path]]): The options file to write; by default
        `<name>_options.json` next to the weights.
    RETURNS (Path): The options file.
    RAISES (ValueError): If the format cannot represent the model, if `path` exists and is not a
        biLM, or if the options file or the vocabulary file belongs to another biLM.
    """
    path = Path(path)
    if path.exists() and not holds_bilm(path):
        raise ValueError(
            f"{path} exists and holds no biLM, so it is not replaced. Remove it, or give another "
            f"name."
        )
    options = bilm.options
    if not _is_original(bilm):
        raise ValueError(
            "The original format is for models over UTF-8 bytes or word ids, but this model has "
            "lexicons of ELMoForManyLangs. Save it as a spacy-elmo directory."
        )
    if not options.bidirectional:
        raise ValueError(
            "The original format is for bidirectional models, but this model has only the "
            "forward direction. Save it as a spacy-elmo directory."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    found, others = _original_options(options), _others(path)
    if bilm.languages:  # other software ignores this key
        found["languages"] = list(bilm.languages)
    if options_file is None:
        options_file = path.with_name(f"{_stem(path)}_options.json")
        if any(_stem(other) == _stem(path) for other in others) or not path.exists():
            _check_same(options_file, found, json.loads)
    options_file = Path(options_file)
    words = bilm.tokens.words
    vocab = path.with_name("vocab.txt")
    if words is not None and (any(map(reads_words, others)) or not path.exists()):
        _check_same(vocab, words.words, lambda text: text.rstrip("\n").split("\n"))
    with atomic_files(path, options_file, vocab) as (new_weights, new_options, new_vocab):
        with new_hdf5(new_weights) as (file, _):
            # `hdf5.read` prefers this copy to the other two files, which a killed process may not
            # have replaced
            config = {KEY: BLANK, "options": found, "words": words and words.words}
            file.attrs[CONFIG] = json.dumps(config)
            _write_tensors(bilm, lambda name, tensor: _put(file, name, tensor))
        write_seal(new_weights, SEAL_BYTES)
        new_options.write_text(json.dumps(found, indent=1) + "\n", encoding="utf8")
        if words is not None:
            new_vocab.write_text("\n".join(words.words) + "\n", encoding="utf8")
    return options_file


def _stem(path: Path) -> str:
    return path.stem.removesuffix("_weights")


def _others(path: Path) -> list[Path]:
    """Return the other weight files in the folder of a weight file."""
    found = (other for other in path.parent.iterdir() if is_named_hdf5(other))
    return [other for other in found if other != path and holds_bilm(other)]


def _check_same(path: Path, content: Any, parse: Callable[[str], Any]) -> None:
    """Raise a ValueError if a file exists with other content, that is, for another biLM."""
    if not path.exists():
        return
    try:
        same = parse(path.read_text("utf8")) == content
    except ValueError:
        same = False
    if not same:
        raise ValueError(
            f"{path} exists and belongs to another biLM, so it is not replaced. Save to another "
            f"directory."
        )


def _is_original(bilm: BiLM) -> bool:
    """Return whether the format can represent the input of a model."""
    options, words = bilm.options, bilm.tokens.words
    if words is None:
        return options.char_unit == BYTES
    special = (words.unknown, words.start, words.end)
    return (
        not (options.filters or options.token_projection or words.max_characters)
        and special == SPECIAL_WORDS
    )


def _put(file: h5py.File, name: str, tensor: Tensor) -> None:
    file.create_dataset(name, data=tensor.detach().cpu().numpy().astype(np.float32))


def _write_tensors(bilm: BiLM, put: Callable[[str, Tensor], None]) -> None:
    cnn = bilm.tokens.char_cnn
    if cnn is not None:
        put("char_embed", cnn.embedding)
        for i, (weight, bias) in enumerate(zip(cnn.filters, cnn.biases)):
            put(f"CNN/W_cnn_{i}", weight.permute(1, 2, 0).unsqueeze(0))
            put(f"CNN/b_cnn_{i}", bias)
        for k, highway in enumerate(cnn.highways):
            assert isinstance(highway, Highway)
            for gate, weight, bias in zip(
                ("transform", "carry"), highway.weight.chunk(2), highway.bias.chunk(2)
            ):
                put(f"CNN_high_{k}/W_{gate}", weight.t())
                put(f"CNN_high_{k}/b_{gate}", bias)
    if bilm.tokens.word_embedding is not None:
        put(WORDS, bilm.tokens.word_embedding)
    if bilm.tokens.projection is not None:
        put("CNN_proj/W_proj", bilm.tokens.projection.weight.t())
        put("CNN_proj/b_proj", bilm.tokens.projection.bias)
    for index, layer in enumerate(bilm.layers):
        assert isinstance(layer, LSTMLayer)
        for direction, root in enumerate(ROOTS[True]):
            cell = CELLS[0].format(root=root, layer=index)
            kernel = torch.cat(
                [layer.input_weight[direction], layer.state_weight[direction]], dim=1
            )
            put(f"{cell}/{KERNEL[0]}", gates_to_original(kernel).t())
            put(f"{cell}/{BIAS[0]}", gates_to_original(layer.bias[direction]))
            if layer.projection is not None:
                put(f"{cell}/{PROJECTION[0]}", layer.projection[direction].t())


def _original_options(options: BiLMOptions) -> dict[str, Any]:
    lstm: dict[str, Any] = {
        "dim": options.hidden_dim,
        "projection_dim": options.projection_dim,
        "n_layers": options.n_layers,
        "use_skip_connections": options.skip_connections,
    }
    for name in ("cell_clip", "proj_clip"):
        if getattr(options, name) is not None:
            lstm[name] = getattr(options, name)
    values: dict[str, Any] = {"lstm": lstm, "bidirectional": True}
    if options.filters:
        values["char_cnn"] = {
            "activation": options.activation,
            "embedding": {"dim": options.char_dim},
            "filters": [list(pair) for pair in options.filters],
            "max_characters_per_token": options.max_characters,
            "n_characters": N_BYTE_CHARACTERS + 1,
            "n_highway": options.n_highway,
        }
    else:
        values["n_tokens_vocab"] = options.n_words
    return values
