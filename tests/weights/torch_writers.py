"""Files of AllenNLP and ELMoForManyLangs, written from the weights of a `Reference`.

The writers follow the descriptions of the formats. They take no name, shape or order from the
readers that they test.
"""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..reference import Array, Cell, Highway, Reference

CHARS = ["<bos>", "<eos>", "<oov>", "<pad>", *"abcdefghijklmnorstuTWHÜ日🙂!.", "<bow>", "<eow>"]
WORDS = ["<oov>", "<bos>", "<eos>", "<pad>", "the", "bank", "river", ".", "x" * 48]

State = dict[str, torch.Tensor]


def allennlp_state(
    reference: Reference, prefix: str = "", mixes: Sequence[Sequence[float]] = ()
) -> State:
    """Return the state dict of AllenNLP's `Elmo` at a prefix. A mix is a gamma, then weights."""
    assert reference.chars is not None
    table = np.concatenate([np.zeros((1, reference.chars.shape[1])), reference.chars])
    tokens = {
        "_char_embedding_weights": table,
        **_features(reference, "char_conv_{}", "_highways._layers.{}", "_projection"),
    }
    arrays = {f"_elmo_lstm._token_embedder.{name}": array for name, array in tokens.items()}
    for name, array in _lstms(reference).items():
        arrays[f"_elmo_lstm._elmo_lstm.{name}"] = array
    for k, (gamma, *weights) in enumerate(mixes):
        arrays[f"scalar_mix_{k}.gamma"] = np.array([gamma])
        for j, weight in enumerate(weights):
            arrays[f"scalar_mix_{k}.scalar_parameters.{j}"] = np.array([weight])
    return _tensors({prefix + name: array for name, array in arrays.items()})


Content = bytes | dict[str, Any] | tarfile.TarInfo


def write_tar(path: Path, members: dict[str, Content]) -> Path:
    """Write an archive of bytes, JSON values or finished members."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            data = json.dumps(content).encode() if isinstance(content, dict) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def torch_bytes(values: Any, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(values, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def many_langs_architecture(reference: Reference) -> dict[str, Any]:
    first = reference.cells[0][0]
    return {
        "encoder": {
            "name": "elmo",
            "projection_dim": len(first.kernel) // 2,
            "cell_clip": reference.cell_clip,
            "proj_clip": reference.proj_clip,
            "dim": len(first.bias) // 4,
            "n_layers": len(reference.cells[0]),
        },
        "token_embedder": {
            "name": "cnn",
            "activation": reference.activation,
            "filters": [[len(kernel), kernel.shape[2]] for kernel, _ in reference.filters],
            "n_highway": len(reference.highways),
            "word_dim": 0 if reference.words is None else reference.words.shape[1],
            "char_dim": 0 if reference.chars is None else reference.chars.shape[1],
            "max_characters_per_token": 50,
        },
        "classifier": {"name": "sampled_softmax", "n_samples": 8192},
        "dropout": 0.1,
    }


def write_many_langs(folder: Path, reference: Reference) -> Path:
    """Write a directory of ELMoForManyLangs with the lexicons `CHARS` and `WORDS`."""
    arrays = _features(reference, "convolutions.{}", "highways._layers.{}", "projection")
    for name, table, entries in (
        ("char", reference.chars, CHARS),
        ("word", reference.words, WORDS),
    ):
        if table is not None:
            arrays[f"{name}_emb_layer.embedding.weight"] = table
            write_lexicon(folder / f"{name}.dic", entries)
    torch.save(_tensors(arrays), folder / "token_embedder.pkl")
    torch.save(_tensors(_lstms(reference)), folder / "encoder.pkl")
    stale = "/home/someone/configs/sizes.json"
    (folder / "config.json").write_text(json.dumps({"seed": 1, "config_path": stale}))
    (folder / "sizes.json").write_text(json.dumps(many_langs_architecture(reference)))
    return folder


def write_lexicon(path: Path, entries: Sequence[str]) -> None:
    lines = [f"{entry}\t{number}\n" for number, entry in enumerate(entries)]
    path.write_text("".join(lines), encoding="utf8")


def _features(
    reference: Reference, convolution: str, highway: str, projection: str
) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for i, (kernel, bias) in enumerate(reference.filters):
        # [width, E, n] to [n, E, width]
        arrays[convolution.format(i) + ".weight"] = kernel.transpose(2, 1, 0)
        arrays[convolution.format(i) + ".bias"] = bias
    for k, part in enumerate(reference.highways):
        arrays[highway.format(k) + ".weight"], arrays[highway.format(k) + ".bias"] = _stack(part)
    if reference.projection is not None:
        arrays[f"{projection}.weight"] = reference.projection[0].T
        arrays[f"{projection}.bias"] = reference.projection[1]
    return arrays


def _stack(part: Highway) -> tuple[Array, Array]:
    """Stack the rows of a highway layer. The gate of the torch implementations is the weight of the
    input, and 1 - sigmoid(x) is sigmoid(-x)."""
    return (
        np.concatenate([part.transform.T, -part.gate.T]),
        np.concatenate([part.transform_bias, -part.gate_bias]),
    )


def _lstms(reference: Reference) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for name, cells in zip(("forward", "backward"), reference.cells):
        for number, cell in enumerate(cells):
            place = f"{name}_layer_{number}"
            dim = len(cell.kernel) // 2
            kernel = _gates(cell, cell.kernel)
            arrays[f"{place}.input_linearity.weight"] = kernel[:dim].T
            arrays[f"{place}.state_linearity.weight"] = kernel[dim:].T
            one = np.zeros_like(cell.bias)
            one[len(one) // 2 : 3 * len(one) // 4] = 1  # the third of four is the forget gate
            arrays[f"{place}.state_linearity.bias"] = _gates(cell, cell.bias + one)
            if cell.projection is not None:
                arrays[f"{place}.state_projection.weight"] = cell.projection.T
    return arrays


def _gates(cell: Cell, columns: Array) -> Array:
    """Reorder gates from the order i, j, f, o to i, f, j, o."""
    i, j, f, o = np.split(columns, 4, axis=-1)
    return np.concatenate([i, f, j, o], axis=-1)


def _tensors(arrays: dict[str, Array]) -> State:
    return {
        name: torch.tensor(np.ascontiguousarray(array)).float() for name, array in arrays.items()
    }
