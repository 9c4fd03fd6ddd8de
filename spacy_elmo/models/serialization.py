"""Saving and loading of components, with digests that detect damaged data.

The files are the same as for every trainable component of spaCy. `cfg` also contains the SHA-256
digests of itself and of `model`, so that a single wrong bit raises an error instead of silently
changing the results. If loading fails, the component is not changed.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import srsly
from spacy.util import ensure_path
from spacy.vocab import Vocab
from thinc.api import Model

from .rollback import rollback_on_error

CFG, MODEL, VOCAB, DIGESTS = "cfg", "model", "vocab", "digests"
REMEDY = "Save the pipeline again, restore a backup, or copy it again if it was copied."


class SerializationMixin:
    """The methods of a component that save and load it. The class precedes `TrainablePipe` in the
    list of base classes."""

    name: str
    vocab: Vocab
    model: Model[Any, Any]
    cfg: dict[str, Any]

    def check_cfg(self, cfg: dict[str, Any]) -> None:
        """Check a loaded `cfg` before it is used.

        cfg (Dict[str, Any]): The loaded `cfg`.
        RAISES (ValueError): If it does not belong to this component.
        """

    def check_loaded(self, source: str, cfg: dict[str, Any]) -> None:
        """Check that the loaded model and the loaded `cfg` fit each other.

        source (str): Name of the data that was loaded, for error messages.
        cfg (Dict[str, Any]): The loaded `cfg`.
        RAISES (ValueError): If they do not fit.
        """

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialize the component.

        exclude (Iterable[str]): Names of fields to leave out: "cfg", "model", "vocab".
        RETURNS (bytes): The serialized component.
        """
        content = self._serialize(exclude)
        if VOCAB not in exclude:
            content[VOCAB] = self.vocab.to_bytes(exclude=exclude)
        data: bytes = srsly.msgpack_dumps(content)
        return data

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> Any:
        """Load the component from the bytes that `to_bytes` returned. After an error, the component
        is unchanged.

        bytes_data (bytes): The serialized component.
        exclude (Iterable[str]): Names of fields that are not loaded: "cfg", "model", "vocab".
        RETURNS (SerializationMixin): The component.
        RAISES (ValueError): If the bytes are damaged, or do not fit the settings in the config.
        """
        source = f"The saved state of '{self.name}'"
        with _explain(source):
            content = srsly.msgpack_loads(bytes_data)
            if not isinstance(content, dict) or content.keys() - {CFG, MODEL, VOCAB}:
                raise ValueError(f"it has other fields than {CFG}, {MODEL} and {VOCAB}")
        found = {name: data for name, data in content.items() if name not in exclude}
        vocab = found.pop(VOCAB, None)
        self._load(source, found, lambda: vocab and self.vocab.from_bytes(vocab, exclude=exclude))
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the component to a directory.

        path (Union[str, Path]): The directory, which is created if it does not exist.
        exclude (Iterable[str]): Names of fields to leave out: "cfg", "model", "vocab".
        """
        folder = ensure_path(path)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self._serialize(exclude).items():
            (folder / name).write_bytes(data)
        if VOCAB not in exclude:
            self.vocab.to_disk(folder / VOCAB, exclude=exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> Any:
        """Load the component from the directory that `to_disk` wrote. After an error, the component
        is unchanged.

        path (Union[str, Path]): The directory.
        exclude (Iterable[str]): Names of fields that are not loaded: "cfg", "model", "vocab".
        RETURNS (SerializationMixin): The component.
        RAISES (ValueError): If a file is damaged, or does not fit the settings in the config.
        """
        folder = ensure_path(path)
        names = [name for name in (CFG, MODEL) if name not in exclude]
        found = {name: (folder / name).read_bytes() for name in names}
        loads_vocab = VOCAB not in exclude
        self._load(
            f"The saved state of '{self.name}' in {folder}",
            found,
            lambda: loads_vocab and self.vocab.from_disk(folder / VOCAB, exclude=exclude),
        )
        return self

    def _serialize(self, exclude: Iterable[str]) -> dict[str, bytes]:
        saved: dict[str, bytes] = {}
        if MODEL not in exclude:
            saved[MODEL] = self.model.to_bytes()
        if CFG not in exclude:
            digests = {name: _digest(data) for name, data in saved.items()}
            digests[CFG] = _digest_of_cfg(self.cfg)
            text = json.dumps({**self.cfg, DIGESTS: digests}, indent=2, ensure_ascii=False)
            saved[CFG] = text.encode("utf8")
        return saved

    def _load(self, source: str, saved: dict[str, bytes], load_vocab: Callable[[], Any]) -> None:
        cfg: dict[str, Any] = {}
        digests: Any = None
        with _explain(source):
            if CFG in saved:
                cfg = _check_object(json.loads(saved[CFG]), CFG)
                digests = cfg.pop(DIGESTS, None)
                if digests is not None:
                    _check_digests(_check_object(digests, DIGESTS), saved, cfg)
                if unknown := cfg.keys() - self.cfg.keys():
                    raise ValueError(f"{CFG} has the unknown key {min(unknown)!r:.80}")
                self.check_cfg(cfg)
        with rollback_on_error(self.model):
            if MODEL in saved:
                with _explain(source, is_intact=MODEL in (digests or {})):
                    self.model.from_bytes(saved[MODEL])
                if CFG in saved:
                    self.check_loaded(source, cfg)
            load_vocab()
        self.cfg.update(cfg)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest_of_cfg(cfg: dict[str, Any]) -> str:
    return _digest(json.dumps(cfg, sort_keys=True).encode())


def _check_digests(digests: dict[str, Any], saved: dict[str, bytes], cfg: dict[str, Any]) -> None:
    """Compare the loaded files with their digests. Excluded files are not checked.

    digests (Dict[str, Any]): The saved digests of "cfg" and "model".
    saved (Dict[str, bytes]): The content of the files that are loaded.
    cfg (Dict[str, Any]): The content of "cfg" without the digests.
    RAISES (ValueError): If a digest differs, or if there are other digests than expected.
    """
    found = {name: _digest(data) for name, data in saved.items()}
    found[CFG] = _digest_of_cfg(cfg)
    if CFG not in digests or digests.keys() - {CFG, MODEL}:
        raise ValueError(f"there are digests of {', '.join(digests)}; expected {CFG} and {MODEL}")
    for name, value in digests.items():
        if name in found and value != found[name]:
            raise ValueError(f"{name!r} does not match its SHA-256 digest")


def _check_object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} holds a {type(value).__name__}; expected an object")
    return value


@contextmanager
def _explain(source: str, is_intact: bool = False) -> Iterator[None]:
    """Convert an error of any type into a ValueError that says what to do. Damaged bytes can raise
    errors of many types.

    source (str): Name of the data that is read.
    is_intact (bool): Whether the digest of the data is correct. An error then means that the config
        has other settings than the saved model.
    RAISES (ValueError): If the context raises an error.
    """
    try:
        yield
    except Exception as error:
        found = str(error).strip().rstrip(".") or type(error).__name__
        if is_intact:
            raise ValueError(
                f"{source} does not fit the settings in the config: {found}. Use the settings that "
                f"it was saved with."
            ) from error
        raise ValueError(f"{source} cannot be read: {found}. {REMEDY}") from error
