"""Checkpoints: safetensors files from which a training resumes with bitwise identical results.

A file contains the tensors, and all other values as JSON in its header.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files import tensor_file
from ..files.atomic import atomic_file
from ..files.tensor_file import TensorFile
from ..weights.build import check_finite

FOLDER, SUFFIX = "checkpoints", ".safetensors"
MAX_CHECKPOINTS = 2
# version of the content: increase it when the content changes
FORMAT = 2
REMEDY = "Remove it, and training resumes from the previous checkpoint."

Content = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors by name, and JSON-serializable values."""


def is_checkpoint(path: Path) -> bool:
    """Return whether a path has the name of a checkpoint."""
    return path.suffix == SUFFIX and path.stem.isdigit()


def find(output: Path) -> list[Path]:
    """Find the checkpoints of a training.

    output (Path): The directory of the training.
    RETURNS (list[Path]): The checkpoints, oldest first.
    """
    return sorted(filter(is_checkpoint, (output / FOLDER).glob(f"*{SUFFIX}")))


def latest(output: Path) -> Path | None:
    """Find the newest checkpoint of a training.

    output (Path): The directory of the training.
    RETURNS (Path | None): The checkpoint; None if there is none.
    """
    found = find(output)
    return found[-1] if found else None


def write(output: Path, step: int, tensors: dict[str, Tensor], info: dict[str, Any]) -> Path:
    """Write a checkpoint, atomically, and remove all but the last `MAX_CHECKPOINTS`.

    output (Path): The directory of the training.
    step (int): Number of completed steps.
    tensors (dict[str, Tensor]): Tensors by name.
    info (dict[str, Any]): Other values, JSON-serializable.
    RETURNS (Path): The file.
    """
    path = output / FOLDER / f"{step:09d}{SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_file(path) as temporary:
        tensor_file.write(temporary, on_cpu, {"format": str(FORMAT), "info": json.dumps(info)})
    for old in find(output)[:-MAX_CHECKPOINTS]:
        old.unlink()
    return path


def read(path: Path) -> Content:
    """Read a checkpoint and check its digest.

    path (Path): The file.
    RETURNS (Content): The tensors and values that were passed to `write`.
    RAISES (ValueError): If the file is damaged, was written by another version, or holds values
        that are not finite.
    """
    source = f"The checkpoint {path}"
    file = TensorFile(path, source, known=("format", "info"), remedy=REMEDY)
    file.check()
    found = file.metadata.get("format", "1")
    if found != str(FORMAT):
        raise ValueError(
            f"The checkpoint {path} was written by another version of spacy-elmo (format "
            f"{found}, expected {FORMAT}). Train in a new directory. To start from the weights of "
            f"this training, set [init] path to one of its models."
        )
    try:
        info = json.loads(file.metadata["info"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"The checkpoint {path} is damaged: {error}. {REMEDY}") from error
    check_finite(file.tensors, source)
    # copies, because the tensors are mapped from a file that is removed later
    return {name: tensor.clone() for name, tensor in file.tensors.items()}, info


def optimizer_tensors(optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Return the state of optimizers as named tensors.

    optimizers (Sequence[Optimizer]): The optimizers.
    RETURNS (dict[str, Tensor]): Tensors by name.
    """
    return {
        f"optimizer.{n}.{index}.{name}": value
        for n, optimizer in enumerate(optimizers)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizers(
    optimizers: Sequence[torch.optim.Optimizer], tensors: dict[str, Tensor]
) -> None:
    """Restore the state of optimizers that `optimizer_tensors` returned.

    optimizers (Sequence[Optimizer]): The optimizers, in the same order.
    tensors (dict[str, Tensor]): All tensors of a checkpoint.
    """
    for n, optimizer in enumerate(optimizers):
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in subset(tensors, f"optimizer.{n}.").items():
            index, name = key.split(".", 1)
            states.setdefault(int(index), {})[name] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": states, "param_groups": groups})


def subset(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Select the tensors whose names start with a prefix.

    tensors (dict[str, Tensor]): Tensors by name.
    prefix (str): The prefix.
    RETURNS (dict[str, Tensor]): The tensors by their names without the prefix.
    """
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
