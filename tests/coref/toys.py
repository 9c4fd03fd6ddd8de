"""Made-up stories with entities, for the tests of coreference."""

import numpy as np
import spacy
from spacy.tokens import Doc
from spacy.training import Example

from spacy_elmo.coref.clusters import Clusters, set_clusters

NAMES = """Anna Bruno Clara David Emil Frida Georg Hanna Ivan Jana Karl Lena Mark Nora Otto Paula
Quirin Rosa Simon Tilda""".split()
VERBS = "sees hears meets follows thanks".split()
NOUNS = "miller baker singer weaver".split()


def story(seed: int, n_sentences: int = 8) -> tuple[list[list[str]], Clusters]:
    """Return sentences about three people, and the mentions of each person: a name, a noun such as
    "the miller", or "she"."""
    draw = np.random.default_rng(seed)
    people = list(draw.choice(NAMES, 3, replace=False))
    jobs = list(draw.choice(NOUNS, 3, replace=False))
    sentences: list[list[str]] = []
    clusters: Clusters = [[], [], []]
    place = 0
    for n in range(n_sentences):
        who, other = draw.choice(3, 2, replace=False)
        words = [str(people[who]), str(draw.choice(VERBS)), "the", str(jobs[other]), "."]
        clusters[who].append((place, place + 1))
        clusters[other].append((place + 2, place + 4))
        if n % 2:
            words[4:] = ["and", "she", "smiles", "."]
            clusters[who].append((place + 5, place + 6))
        sentences.append(words)
        place += len(words)
    return sentences, [sorted(mentions) for mentions in clusters if mentions]


def story_doc(nlp: "spacy.Language", seed: int, n_sentences: int = 8) -> Doc:
    sentences, clusters = story(seed, n_sentences)
    words = [word for sentence in sentences for word in sentence]
    starts = [i == 0 for sentence in sentences for i in range(len(sentence))]
    doc = Doc(nlp.vocab, words, sent_starts=starts)
    set_clusters(doc, clusters, "coref_clusters")
    return doc


def bare(doc: Doc) -> Doc:
    """Return a Doc with the same words and sentences, without entities."""
    starts = [bool(token.is_sent_start) for token in doc]
    return Doc(doc.vocab, [token.text for token in doc], sent_starts=starts)


def examples(nlp: "spacy.Language", n: int = 6, n_sentences: int = 8) -> list[Example]:
    docs = [story_doc(nlp, seed, n_sentences) for seed in range(n)]
    return [Example(bare(doc), doc) for doc in docs]
