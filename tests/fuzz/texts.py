"""Texts to train on and to embed, corpora with entities, pretraining configs and vocabularies."""

import gzip
import json
from collections.abc import Callable
from configparser import Error as ConfigParserError
from pathlib import Path

import h5py
import spacy
import zstandard
from spacy.tokens import DocBin
from spacy.util import load_config
from spacy.vocab import Vocab
from thinc.api import Config

from spacy_elmo import save_bilm
from spacy_elmo.coref.clusters import get_clusters
from spacy_elmo.coref.formats import read_coref, write_coref
from spacy_elmo.corpus.corpus_cache import open_corpus
from spacy_elmo.corpus.readers import TextSettings
from spacy_elmo.embed.run import EmbedSettings, embed_files
from spacy_elmo.lm.vocab import Vocab as WordVocab
from spacy_elmo.pretrain.config import PretrainConfig

from ..coref.toys import story_doc
from ..pretrain.toys import documents, values
from ..samples import tiny_bilm
from .target import Result, Target, digest

TEXT = "".join(
    " ".join(words) + ("\n\n" if number % 3 else " ")
    for document in documents(30)
    for number, words in enumerate(document)
).replace("baker", "Bäcker")
RECORDS = "".join(
    json.dumps({"text": " ".join(document[0])} if number % 2 else {"tokens": document[:2]}) + "\n"
    for number, document in enumerate(documents(60))
)
HEADER = "# newdoc id = stories\n# global.Entity = eid-etype-head-other\n"
COREFUD = [["Anna Entity=(e1-person-1)", "sees _", "the Entity=(e2-person-2-", "baker Entity=e2)"],
           ["She Entity=(e1-person-1)", "smiles _", ". _"]]  # fmt: skip


def docs_of(n: int) -> DocBin:
    nlp = spacy.blank("en")
    return DocBin(docs=[story_doc(nlp, seed, 4) for seed in range(n)], store_user_data=True)


# Texts


def make_text(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        if name.endswith(".spacy"):
            docs_of(3).to_disk(folder / name)
            return
        data = (RECORDS if ".jsonl" in name else TEXT).encode()
        if name.endswith(".gz"):
            data = gzip.compress(data, mtime=0)
        elif name.endswith(".zst"):
            data = zstandard.compress(data)
        (folder / name).write_bytes(data)

    return make


def read_text(name: str) -> Callable[[Path], Result]:
    tokenized = name.startswith("lines")

    def read(folder: Path) -> Result:
        settings = TextSettings(tokenized=tokenized)
        corpus = open_corpus(folder / name, settings, folder / "cache", progress=False)
        return {"sentences": digest(list(corpus.sentences()))}

    return read


def make_to_embed(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        make_text(name)(folder)
        save_bilm(tiny_bilm(), folder / "model")

    return make


def read_to_embed(name: str) -> Callable[[Path], Result]:
    def read(folder: Path) -> Result:
        output = folder / "output.hdf5"
        settings = EmbedSettings(model=str(folder / "model"))
        embed_files([folder / name], output, settings, progress=False)
        with h5py.File(output) as file:
            return {"datasets": digest(len(file))}

    return read


# Entities


def make_entities(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        nlp = spacy.blank("en")
        write_coref([story_doc(nlp, seed, 4) for seed in range(2)], folder / name)

    return make


def make_corefud(folder: Path) -> None:
    lines = [HEADER]
    for sentence in COREFUD:
        for number, token in enumerate(sentence, start=1):
            form, misc = token.split()
            lines.append("\t".join([str(number), form, *"_" * 4, "0", *"_" * 2, misc]) + "\n")
        lines.append("\n")
    (folder / "text.conllu").write_text("".join(lines), encoding="utf8")


def read_entities(name: str) -> Callable[[Path], Result]:
    def read(folder: Path) -> Result:
        docs = list(read_coref(folder / name, vocab=Vocab()))
        found = [(list(map(str, doc)), get_clusters(doc, "coref_clusters")) for doc in docs]
        if not name.endswith(".spacy"):
            write_coref(docs, folder / "again.jsonl")
        return {"documents": digest(found)}

    return read


# Configs and vocabularies


def make_config(folder: Path) -> None:
    Config(values()).to_disk(folder / "config.cfg")


def read_config(folder: Path) -> Result:
    loaded = load_config(folder / "config.cfg", interpolate=True)
    return {"config": digest(PretrainConfig.from_dict(dict(loaded)))}


def make_vocab(folder: Path) -> None:
    text = "".join(f"{word}\n" for word in ["<S>", "</S>", "<UNK>", "the", "Bäcker", "sees", "."])
    (folder / "vocab.txt").write_text(text, encoding="utf8")


def read_vocab(folder: Path) -> Result:
    return {"words": digest(WordVocab.from_file(folder / "vocab.txt").words)}


TEXTS = ["text.txt", "lines.txt", "text.jsonl", "text.spacy", "text.txt.gz", "text.txt.zst"]
TARGETS = [
    *(Target(f"train-{name}", make_text(name), read_text(name), files=(name,), weight=1)
      for name in TEXTS),
    *(Target(f"embed-{name}", make_to_embed(name), read_to_embed(name), files=(name,), weight=1)
      for name in ("text.txt", "text.spacy")),
    *(Target(f"coref-{name}", make_entities(name), read_entities(name))
      for name in ("text.conll", "text.jsonl", "text.spacy")),
    Target("coref-text.conllu", make_corefud, read_entities("text.conllu")),
    # thinc parses configs. Its errors name the line and the block.
    Target("config", make_config, read_config, foreign=(ValueError, ConfigParserError)),
    Target("vocabulary", make_vocab, read_vocab, weight=1),
]  # fmt: skip
