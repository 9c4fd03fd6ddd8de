"""How our components are saved and loaded: with a digest, and whole or not at all.

The files are those of every trainable component of spaCy. `cfg` also has the digests of itself
and of `model`, so that one wrong bit in either is an error and not another result.
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

from .restoring import restored_on_error

CFG, MODEL, VOCAB, DIGESTS = "cfg", "model", "vocab", "digests"
REMEDY = "Save the pipeline again, restore a backup, or copy it again if it was copied."


class SavedWhole:
    """What spaCy asks of a component that is saved; comes before `TrainablePipe`."""

    name: str
    vocab: Vocab
    model: Model
    cfg: dict[str, Any]

    def check_cfg(self, cfg: dict[str, Any]) -> None:
        """Raise a ValueError if what was saved as `cfg` cannot be that of this component."""

    def check_loaded(self, source: str, cfg: dict[str, Any]) -> None:
        """Raise a ValueError if the model that was just loaded from a source does not fit the
        `cfg` that was loaded with it."""

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): The component, without what is in `exclude`: "cfg", "model", "vocab"."""
        parts = self._saved(exclude)
        if VOCAB not in exclude:
            parts[VOCAB] = self.vocab.to_bytes(exclude=exclude)
        data: bytes = srsly.msgpack_dumps(parts)
        return data

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the component to a directory, without what is in `exclude`."""
        folder = ensure_path(path)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self._saved(exclude).items():
            (folder / name).write_bytes(data)
        if VOCAB not in exclude:
            self.vocab.to_disk(folder / VOCAB, exclude=exclude)

    def _saved(self, exclude: Iterable[str]) -> dict[str, bytes]:
        saved: dict[str, bytes] = {}
        if MODEL not in exclude:
            saved[MODEL] = self.model.to_bytes()
        if CFG not in exclude:
            digests = {name: _digest(data) for name, data in saved.items()}
            digests[CFG] = _digest_of_cfg(self.cfg)
            text = json.dumps({**self.cfg, DIGESTS: digests}, indent=2, ensure_ascii=False)
            saved[CFG] = text.encode("utf8")
        return saved

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> Any:
        """Load what `to_bytes` made, whole or not at all.

        RETURNS (SavedWhole): The component.
        RAISES (ValueError): If the bytes are damaged, or of another model than the config's.
        """
        source = f"What was saved of '{self.name}'"
        with _explained(source):
            saved = srsly.msgpack_loads(bytes_data)
            if not isinstance(saved, dict) or saved.keys() - {CFG, MODEL, VOCAB}:
                raise ValueError(f"it holds other things than {CFG}, {MODEL} and {VOCAB}")
        found = {name: data for name, data in saved.items() if name not in exclude}
        vocab = found.pop(VOCAB, None)
        self._load(source, found, lambda: vocab and self.vocab.from_bytes(vocab, exclude=exclude))
        return self

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> Any:
        """Load what `to_disk` wrote, whole or not at all; see `from_bytes`."""
        folder = ensure_path(path)
        names = [name for name in (CFG, MODEL) if name not in exclude]
        found = {name: (folder / name).read_bytes() for name in names}
        wants_vocab = VOCAB not in exclude
        self._load(
            f"What was saved of '{self.name}' in {folder}",
            found,
            lambda: wants_vocab and self.vocab.from_disk(folder / VOCAB, exclude=exclude),
        )
        return self

    def _load(self, source: str, saved: dict[str, bytes], load_vocab: Callable[[], Any]) -> None:
        cfg: dict[str, Any] = {}
        digests: Any = None
        with _explained(source):
            if CFG in saved:
                cfg = _object(json.loads(saved[CFG]), CFG)
                digests = cfg.pop(DIGESTS, None)
                if digests is not None:
                    _check(_object(digests, DIGESTS), saved, cfg)
                if others := cfg.keys() - self.cfg.keys():
                    raise ValueError(f"{CFG} has the unknown key {min(others)!r:.80}")
                self.check_cfg(cfg)
        with restored_on_error(self.model):
            if MODEL in saved:
                with _explained(source, is_whole=MODEL in (digests or {})):
                    self.model.from_bytes(saved[MODEL])
                if CFG in saved:
                    self.check_loaded(source, cfg)
            load_vocab()
        self.cfg.update(cfg)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest_of_cfg(cfg: dict[str, Any]) -> str:
    return _digest(json.dumps(cfg, sort_keys=True).encode())


def _check(digests: dict[str, Any], saved: dict[str, bytes], cfg: dict[str, Any]) -> None:
    """Compare digests; a part that is not loaded now is not checked."""
    found = {name: _digest(data) for name, data in saved.items()}
    found[CFG] = _digest_of_cfg(cfg)
    if CFG not in digests or digests.keys() - {CFG, MODEL}:
        raise ValueError(f"there are digests of {', '.join(digests)}; expected {CFG} and {MODEL}")
    for name, value in digests.items():
        if name in found and value != found[name]:
            raise ValueError(f"the SHA-256 digest of {name!r} is not that of what was written")


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} holds a {type(value).__name__}; expected an object")
    return value


@contextmanager
def _explained(source: str, is_whole: bool = False) -> Iterator[None]:
    """Turn what readers raise at damage into a sentence. They raise errors of any kind.

    source (str): What is read.
    is_whole (bool): Whether it has the right digest, so that it is the config that does not fit.
    """
    try:
        yield
    except Exception as error:
        found = str(error).strip().rstrip(".") or type(error).__name__
        if is_whole:
            raise ValueError(
                f"{source} belongs to a model of other settings than the config's: {found}. "
                f"Leave the settings as they were saved."
            ) from error
        raise ValueError(f"{source} cannot be read: {found}. {REMEDY}") from error
