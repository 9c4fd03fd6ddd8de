"""Files of the original format, written from the weights of a `Reference`, and helpers for tests of
all formats.

The writers follow the descriptions of the formats. They take no name, shape or order from the
readers that they test.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from spacy_elmo.bilm import BiLM, WordBatch
from spacy_elmo.weights import load_bilm

from ..reference import Array, Reference


def vectors(bilm: BiLM, sentences: Sequence[Sequence[str]]) -> Array:
    """Return the layers of sentences from zero states, in one array. Word vectors are recomputed,
    because cached vectors from another batch can differ in the last bit."""
    bilm.drop_caches()
    with torch.no_grad():
        return bilm(WordBatch.from_sentences(sentences), start_state="zero").numpy()


def without_digests(folder: Path, **changes: Any) -> None:
    """Remove the digests from a spacy-elmo directory, as in old versions, and change its
    configuration."""
    config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    del config["digest"], config["files"]
    (folder / "config.json").write_text(json.dumps({**config, **changes}), encoding="utf8")


def refused(path: Path, *texts: str, **files: Path) -> None:
    """Check that loading a path fails with an error that contains all given texts."""
    with pytest.raises(ValueError) as error:
        load_bilm(path, **files)
    for text in texts:
        assert text in str(error.value)


def fixture_top_layer(bilm: BiLM, fixtures: Path) -> tuple[Array, Array]:
    """Return the computed and the expected top layers of the fixture's 30 sentences, in ten batches
    of three sentences whose states are carried over by row."""
    text = json.loads((fixtures / "lm_embeddings_sentences.json").read_text())
    found, expected, state = [], [], None
    with torch.no_grad():
        for i in range(10):
            batch = WordBatch.from_sentences([column[i].split() for column in text])
            layers, state = bilm.carry(batch, state)
            found.append(layers[-1].numpy())
            for row in range(3):
                with h5py.File(fixtures / f"lm_embeddings_{row}.hdf5") as file:
                    expected.append(np.concatenate(file[str(i)][...], axis=1))
    return np.concatenate(found), np.concatenate(expected)


def original_options(reference: Reference, **char_cnn: Any) -> dict[str, Any]:
    """Return the content of an options.json."""
    first = reference.cells[0][0]
    hidden = len(first.bias) // 4
    lstm = {
        "dim": hidden,
        "projection_dim": len(first.kernel) // 2,
        "n_layers": len(reference.cells[0]),
        "use_skip_connections": reference.skip,
    }
    for name in ("cell_clip", "proj_clip"):
        if getattr(reference, name) is not None:
            lstm[name] = getattr(reference, name)
    options: dict[str, Any] = {"lstm": lstm, "bidirectional": len(reference.cells) == 2}
    if reference.words is not None:
        options["n_tokens_vocab"] = len(reference.words)
    if reference.chars is not None:
        options["char_cnn"] = {
            "activation": reference.activation,
            "embedding": {"dim": reference.chars.shape[1]},
            "filters": [[len(kernel), kernel.shape[2]] for kernel, _ in reference.filters],
            "max_characters_per_token": 50,
            "n_characters": 262,
            "n_highway": len(reference.highways),
            **char_cnn,
        }
    return options


def original_arrays(reference: Reference, multi: bool = True) -> dict[str, Array]:
    """Return the datasets of an HDF5 weight file; `multi` adds the level MultiRNNCell."""
    arrays: dict[str, Array] = {}
    if reference.chars is not None:
        arrays["char_embed"] = reference.chars
    for i, (kernel, bias) in enumerate(reference.filters):
        arrays[f"CNN/W_cnn_{i}"], arrays[f"CNN/b_cnn_{i}"] = kernel[np.newaxis], bias
    for k, highway in enumerate(reference.highways):
        arrays[f"CNN_high_{k}/W_transform"] = highway.transform
        arrays[f"CNN_high_{k}/b_transform"] = highway.transform_bias
        arrays[f"CNN_high_{k}/W_carry"] = highway.gate
        arrays[f"CNN_high_{k}/b_carry"] = highway.gate_bias
    if reference.words is not None:
        arrays["embedding"] = reference.words
    if reference.projection is not None:
        arrays["CNN_proj/W_proj"], arrays["CNN_proj/b_proj"] = reference.projection
    both = len(reference.cells) == 2
    names = ("W_0", "B", "W_P_0") if both else ("kernel", "bias", "projection/kernel")
    for direction, cells in enumerate(reference.cells):
        root = f"RNN_{direction}/RNN" if both else "rnn"
        for number, cell in enumerate(cells):
            place = f"{root}/MultiRNNCell/Cell{number}" if multi else root
            for name, array in zip(names, (cell.kernel, cell.bias, cell.projection)):
                if array is not None:
                    arrays[f"{place}/LSTMCell/{name}"] = array
    return arrays


def write_original(
    folder: Path,
    reference: Reference,
    options: dict[str, Any] | None = None,
    arrays: dict[str, Array] | None = None,
) -> Path:
    """RETURNS (Path): The HDF5 file, with options.json next to it."""
    (folder / "options.json").write_text(json.dumps(options or original_options(reference)))
    with h5py.File(folder / "weights.hdf5", "w") as file:
        for name, array in (arrays or original_arrays(reference)).items():
            file.create_dataset(name, data=array)
    return folder / "weights.hdf5"
