"""Checkpoints: all that a training needs to go on to the bit, in one file.

Owns the file (safetensors, with the rest as JSON in its header), its place, and which
ones are kept. What is in it is the trainer's business.
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
KEPT = 2
# to be raised when what is in one changes
FORMAT = 2
REMEDY = "Remove it, and training resumes from the one before it."

Content = tuple[dict[str, Tensor], dict[str, Any]]


def is_checkpoint(path: Path) -> bool:
    """RETURNS (bool): Whether a path has the name of a checkpoint."""
    return path.suffix == SUFFIX and path.stem.isdigit()


def find(output: Path) -> list[Path]:
    """RETURNS (List[Path]): The checkpoints of a training, oldest first."""
    return sorted(filter(is_checkpoint, (output / FOLDER).glob(f"*{SUFFIX}")))


def write(output: Path, step: int, tensors: dict[str, Tensor], info: dict[str, Any]) -> Path:
    """Write a checkpoint, whole or not at all, and remove older ones but the last.

    output (Path): The training's directory.
    step (int): Steps done.
    tensors (Dict[str, Tensor]): Tensors by name.
    info (Dict[str, Any]): The rest, as JSON can hold it.
    RETURNS (Path): The file.
    """
    path = output / FOLDER / f"{step:09d}{SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_file(path) as temporary:
        tensor_file.write(temporary, held, {"format": str(FORMAT), "info": json.dumps(info)})
    for old in find(output)[:-KEPT]:
        old.unlink()
    return path


def read(path: Path) -> Content:
    """Read a checkpoint, and check that it is as it was written.

    path (Path): The file.
    RETURNS (Content): What `write` was given.
    RAISES (ValueError): If the file is damaged, was written by another version, or holds
        values that are not finite.
    """
    source = f"The checkpoint {path}"
    file = TensorFile(path, source, known=("format", "info"), remedy=REMEDY)
    file.check()
    written = file.metadata.get("format", "1")
    if written != str(FORMAT):
        raise ValueError(
            f"The checkpoint {path} was written by another version of spacy-elmo (format "
            f"{written}, not {FORMAT}). Train in a new directory, where [init] path can be a "
            f"model of the old one."
        )
    try:
        info = json.loads(file.metadata["info"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"The checkpoint {path} is damaged: {error}. {REMEDY}") from error
    check_finite(file.tensors, source)
    # copies: what is mapped would end with the file
    return {name: tensor.clone() for name, tensor in file.tensors.items()}, info


def optimizer_tensors(optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """RETURNS (Dict[str, Tensor]): What optimizers remember of each weight."""
    return {
        f"optimizer.{n}.{index}.{name}": value
        for n, optimizer in enumerate(optimizers)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizers(
    optimizers: Sequence[torch.optim.Optimizer], tensors: dict[str, Tensor]
) -> None:
    """Put back what `optimizer_tensors` gave."""
    for n, optimizer in enumerate(optimizers):
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in subset(tensors, f"optimizer.{n}.").items():
            index, name = key.split(".", 1)
            states.setdefault(int(index), {})[name] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": states, "param_groups": groups})


def subset(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """RETURNS (Dict[str, Tensor]): The tensors whose names begin so, without it."""
    cut = len(prefix)
    return {name[cut:]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def latest(output: Path) -> Path | None:
    """RETURNS (Optional[Path]): The newest checkpoint, if there is one."""
    found = find(output)
    return found[-1] if found else None
