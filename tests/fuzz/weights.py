"""Weight files in all readable formats."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spacy_elmo.bilm import BiLM, BiLMOptions
from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.lm.language_model import LanguageModel
from spacy_elmo.lm.lm_head import make_head
from spacy_elmo.lm.vocab import Vocab
from spacy_elmo.weights import load_bilm, save_bilm, store

from ..pretrain.toys import MODEL, documents
from ..reference import random_reference
from ..samples import tiny_bilm
from ..weights.torch_writers import (
    CHARS,
    WORDS,
    allennlp_state,
    torch_bytes,
    write_many_langs,
    write_tar,
)
from ..weights.writers import vectors, write_original
from .target import Result, Target, digest, digest_of_module

SMALL: dict[str, Any] = {
    "hidden": 3, "dim": 2, "n_layers": 1, "filters": ((1, 2), (2, 1)), "char_dim": 2,
}  # fmt: skip
SENTENCES = [["The", "bank", "of", "Übermut", "."], ["Why", "?"]]


def result_of_bilm(bilm: BiLM) -> Result:
    found = vectors(bilm, SENTENCES)
    if not np.isfinite(found).all():
        raise AssertionError("The biLM was loaded, and its output is not finite.")
    return {"bilm": digest(digest_of_module(bilm), store.config_of(bilm))}


def read_weights(name: str = "") -> Callable[[Path], Result]:
    return lambda folder: result_of_bilm(load_bilm(folder / name))


def make_hdf5(folder: Path) -> None:
    write_original(folder, random_reference(**SMALL))


def make_hdf5_words(folder: Path) -> None:
    (folder / "vocab.txt").write_bytes(b"<S>\n</S>\n<UNK>\nThe\n")
    sizes: dict[str, Any] = {"n_words": 4, "word_dim": 2, "token_projection": False}
    write_original(folder, random_reference(**{**SMALL, "filters": (), **sizes}))


def make_torch(legacy: bool) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        data = torch_bytes(allennlp_state(random_reference(**SMALL)), legacy)
        (folder / "best.th").write_bytes(data)

    return make


def make_tar(folder: Path) -> None:
    weights = torch_bytes(allennlp_state(random_reference(**SMALL)))
    write_tar(folder / "model.tar.gz", {"config.json": {}, "weights.th": weights})


def make_zip(folder: Path) -> None:
    path = write_original(folder, random_reference(**SMALL))
    with zipfile.ZipFile(folder / "144.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for source, name in ((path, "model.hdf5"), (folder / "options.json", "options.json")):
            file.writestr(zipfile.ZipInfo(name), source.read_bytes(), zipfile.ZIP_DEFLATED)
            source.unlink()


def make_many_langs(folder: Path) -> None:
    write_many_langs(folder, random_reference(n_chars=len(CHARS), n_words=len(WORDS), word_dim=3))


def make_bytes(folder: Path) -> None:
    (folder / "bytes").write_bytes(store.to_bytes(tiny_bilm()))


def read_bytes(folder: Path) -> Result:
    return result_of_bilm(store.from_bytes((folder / "bytes").read_bytes()))


def make_language_model(folder: Path) -> None:
    torch.manual_seed(0)
    vocab = Vocab.count(Corpus.from_sentences(documents(60)))
    bilm = BiLM(BiLMOptions.from_dict(MODEL))
    head = make_head(len(vocab), bilm.options.projection_dim, (8,))
    LanguageModel(bilm, head, vocab).save(folder / "model")


def read_language_model(folder: Path) -> Result:
    model = LanguageModel.load(folder / "model")
    return {
        **result_of_bilm(model.bilm),
        "head": digest(digest_of_module(model.head), model.head.cutoffs),
        "vocabulary": digest(model.vocab.words),
    }


TARGETS = [
    Target("directory", lambda folder: save_bilm(tiny_bilm(), folder / "model"),
           read_weights("model"), has_digest=True),
    Target("hdf5", make_hdf5, read_weights("weights.hdf5")),
    Target("hdf5-words", make_hdf5_words, read_weights("weights.hdf5")),
    Target("th", make_torch(False), read_weights("best.th")),
    Target("th-legacy", make_torch(True), read_weights("best.th"), weight=1),
    Target("allennlp", make_tar, read_weights("model.tar.gz")),
    Target("nlpl", make_zip, read_weights("144.zip")),
    Target("many-langs", make_many_langs, read_weights()),
    Target("bilm-bytes", make_bytes, read_bytes, has_digest=True),
    Target("language-model", make_language_model, read_language_model, has_digest=True),
]  # fmt: skip
