"""Made-up uses of "bank" and "bass", whose senses the other words tell."""

from spacy.tokens import Doc, Span
from spacy.training import Example

USES = {
    "bank%river": [
        "They sat on the bank of the river .",
        "The muddy bank of the stream was steep .",
        "A boat on the river reached the bank .",
        "Fish and reeds near the bank of the river .",
    ],
    "bank%money": [
        "The bank raised rates on the loan .",
        "He took money to the bank for a loan .",
        "A bank in the city lends money .",
        "Her money and loan at the bank .",
    ],
    "bass%fish": ["He caught a bass in the river .", "A bass swims in the stream ."],
    "bass%music": ["She plays bass in a band .", "The bass in the song is loud ."],
}


def doc_of(nlp, text, *labels, key="senses"):
    """Return a Doc whose word of each label is annotated."""
    doc = Doc(nlp.vocab, words=text.split())
    words = [token.lower_ for token in doc]
    starts = [words.index(label.split("%")[0]) for label in labels]
    doc.spans[key] = [Span(doc, i, i + 1, label) for i, label in zip(starts, labels)]
    return doc


def bare(doc):
    return Doc(doc.vocab, words=[t.text for t in doc], spaces=[bool(t.whitespace_) for t in doc])


def examples(nlp):
    docs = [doc_of(nlp, text, label) for label, texts in USES.items() for text in texts]
    return [Example(bare(doc), doc) for doc in docs]
