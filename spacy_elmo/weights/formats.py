"""Loading and saving biLMs: the format is detected, and its reader or writer is called."""

import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..bilm.bilm import BiLM
from ..files.expansion import check_expansion
from ..files.paths import PathLike
from ..runtime.torch_scope import own_training_settings
from . import allennlp, hdf5, hdf5_writer, many_langs, store

PRETRAINED = Path(__file__).parent.parent / "pretrained"
DEFAULT_MODEL = "en_small"

KNOWN = (
    "a spacy-elmo directory (config.json, model.safetensors), an original HDF5 weight file with "
    "its options.json, a directory or zip with both, an AllenNLP model.tar.gz or .th file, an "
    "ELMoForManyLangs directory or zip, or the name of a packaged model"
)
# raised by the zip module; RuntimeError if a password is required
UNREADABLE = (zipfile.BadZipFile, OSError, EOFError, RuntimeError, zlib.error, lzma.LZMAError)
ZIPPED = (*hdf5.SUFFIXES, ".json", ".txt", ".gz", ".dic", ".pkl", ".safetensors")


class Format(NamedTuple):
    """A weight format.

    name (str): The name that the command `info` prints.
    matches (Callable): Whether a file or directory has this format, from its names and first bytes.
    read (Callable): Reads a biLM from a path, an options file and a vocabulary file. Either file
        may be None, or irrelevant to the format.
    """

    name: str
    matches: Callable[[Path], bool]
    read: Callable[[Path, PathLike | None, PathLike | None], BiLM]


@own_training_settings()
def load_bilm(
    path: PathLike = DEFAULT_MODEL,
    options_file: PathLike | None = None,
    vocab_file: PathLike | None = None,
) -> BiLM:
    """Load a biLM from any known format.

    path (Union[str, Path]): A file or directory, or the name of a packaged model.
    options_file (Optional[Union[str, Path]]): The options.json of an HDF5 or AllenNLP weight file,
        if it is not next to the weights.
    vocab_file (Optional[Union[str, Path]]): The vocabulary of a model with word input, if it is
        not next to the weights.
    RETURNS (BiLM): The model, frozen, float32, on the CPU.
    RAISES (ValueError): If the path does not exist or has no known format. If the file is damaged,
        differs from its SHA-256 digest, contains values that are not finite, or declares more data
        than a biLM with its options has. If the weights, options and vocabulary do not match.
    """
    if (PRETRAINED / str(path)).is_dir() and not Path(path).exists():
        path = PRETRAINED / str(path)
    path = Path(path)
    if not path.exists():
        packaged = sorted(PRETRAINED.iterdir()) if PRETRAINED.is_dir() else []
        names = ", ".join(p.name for p in packaged if store.is_store(p)) or "none"
        raise ValueError(
            f"No file or directory {path}, and no packaged model with this name. Packaged models: "
            f"{names}."
        )
    if (path / "meta.json").is_file() and (path / "config.cfg").is_file():
        raise ValueError(
            f"{path} is a spaCy pipeline, not a biLM. Load it with spacy.load, or use its 'elmo' "
            f'in another pipeline with source = "{path}".'
        )
    if (path / "cfg").is_file() and (path / "model").is_file():
        raise ValueError(
            f"{path} is a component of a spaCy pipeline, not a biLM. Use it in another pipeline "
            f'with source = "{path.resolve().parent}".'
        )
    if not path.is_dir() and not path.is_file():
        raise ValueError(f"{path} is not a regular file or directory; expected {KNOWN}.")
    format = find_format(path)
    if format is None:
        raise ValueError(f"{path} has no known format; expected {KNOWN}.")
    return format.read(path, options_file, vocab_file)


def save_bilm(bilm: BiLM, path: PathLike) -> None:
    """Save a biLM as a spacy-elmo directory, or in the original format if `path` ends in .hdf5 or
    .h5.

    Both formats include a SHA-256 digest. An existing biLM is replaced, unless its directory also
    contains the softmax of its pretraining, which would be lost.

    bilm (BiLM): The model.
    path (Union[str, Path]): A directory to write, or an HDF5 file. The options of an HDF5 file are
        stored in the file, and for other software also next to it, as `<name>_options.json`.
    RAISES (ValueError): If the path exists and contains anything but a biLM, or if the original
        format cannot represent the model.
    """
    if Path(path).suffix.lower() in hdf5.SUFFIXES:
        hdf5_writer.write(bilm, path)
    else:
        store.write(bilm, path)


def find_format(path: Path) -> Format | None:
    """Return the format of a file or directory, or None if it has no known format.

    path (Path): A file or directory that exists.
    RETURNS (Optional[Format]): The first of `FORMATS` that matches.
    """
    return next((format for format in FORMATS if format.matches(path)), None)


def _is_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True  # a damaged zip; an error is raised when it is read


def _read_zip(path: Path, options_file: PathLike | None, vocab_file: PathLike | None) -> BiLM:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        root = Path(temporary).resolve()
        try:
            with zipfile.ZipFile(path) as archive:
                size = sum(member.file_size for member in archive.infolist())
                check_expansion(size, path.stat().st_size, str(path))
                for member in archive.infolist():
                    target = (root / member.filename).resolve()
                    if not target.is_relative_to(root):
                        raise ValueError(
                            f"{path} holds {member.filename!r}, which would be unpacked outside of "
                            f"the target folder. Nothing was unpacked."
                        )
                for member in archive.infolist():
                    name = PurePosixPath(member.filename)
                    # macOS adds hidden files with the same suffixes
                    if name.suffix.lower() in ZIPPED and not name.name.startswith("."):
                        archive.extract(member, root)
        except UNREADABLE as error:
            raise ValueError(
                f"{path} is a zip file that is damaged or cannot be unpacked: {error}. "
                f"Copy it again, or unpack it and give the folder."
            ) from error
        folders = [root, *(p for p in sorted(root.rglob("*")) if p.is_dir())]
        for folder in folders:
            if store.is_store(folder) or many_langs.is_many_langs(folder) or _has_hdf5(folder):
                try:
                    return load_bilm(folder, options_file, vocab_file)
                except ValueError as error:
                    # name the zip, not the temporary folder
                    raise ValueError(str(error).replace(str(root), str(path))) from error
    raise ValueError(f"{path} holds no biLM; expected {KNOWN}.")


def _has_hdf5(folder: Path) -> bool:
    return any(map(hdf5.is_named_hdf5, folder.iterdir()))


def _read_hdf5(path: Path, options_file: PathLike | None, vocab_file: PathLike | None) -> BiLM:
    weights = hdf5.find_weights(path) if path.is_dir() else path
    return hdf5.read(weights, options_file, vocab_file)


FORMATS = (
    Format("spacy-elmo directory", store.is_store, lambda path, options, vocab: store.read(path)),
    Format(
        "ELMoForManyLangs",
        many_langs.is_many_langs,
        lambda path, options, vocab: many_langs.read(path),
    ),
    # before zips, because torch files are zips too
    Format(
        "AllenNLP",
        allennlp.is_allennlp,
        lambda path, options, vocab: allennlp.read(path, options),
    ),
    Format("zip", _is_zip, _read_zip),
    # a directory without HDF5 files gets the error of `hdf5.find_weights`
    Format("original HDF5", lambda path: path.is_dir() or hdf5.is_hdf5(path), _read_hdf5),
)
"""The known formats, in the order in which they are tried."""
