"""Smoke test of an installed wheel or sdist, to be run outside of the source tree.

python tests/smoke.py
"""

import spacy
from spacy.tokens import Doc

import spacy_elmo


def main() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("elmo")
    nlp.initialize()
    doc = nlp("The bank of the river was green.")
    assert doc.tensor.shape == (len(doc), 512), doc.tensor.shape
    assert doc._.elmo.shape == (3, len(doc), 512), doc._.elmo.shape
    copy = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    copied = copy(Doc(copy.vocab, words=[token.text for token in doc]))
    assert abs(copied.tensor - doc.tensor).max() < 1e-5
    layers = spacy_elmo.ElmoEmbedder().embed_sentence(["The", "bank"])
    assert layers.shape == (3, 2, 512), layers.shape
    print(f"spacy-elmo {spacy_elmo.__version__} works with spaCy {spacy.__version__}.")


if __name__ == "__main__":
    main()
