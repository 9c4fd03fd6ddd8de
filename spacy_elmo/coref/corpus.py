"""A corpus whose Docs say who speaks and of what kind a text is, for components that ask.

spaCy's corpora give components bare words, as all else is theirs to predict. Speakers and
genre are known beforehand. Owns how they get from the annotated Docs to those.
"""

from collections.abc import Callable, Iterator

from spacy.language import Language
from spacy.training import Example

from .document import GENRE, SPEAKERS

Reader = Callable[[Language], Iterator[Example]]


def make_metadata_corpus(corpus: Reader) -> Reader:
    """`spacy-elmo.MetadataCorpus.v1`: the examples of a corpus, with the genre and the speakers
    of their annotated Docs.

    corpus (Callable[[Language], Iterator[Example]]): The corpus, e.g. a spacy.Corpus.v1.
    CREATES (Callable[[Language], Iterator[Example]]): The same with metadata.
    """

    def read(nlp: Language) -> Iterator[Example]:
        for example in corpus(nlp):
            give_metadata(example)
            yield example

    return read


def give_metadata(example: Example) -> None:
    """Give the genre and the speakers of the annotated Doc to the one to predict on; a token
    that two speakers share has the later one."""
    given, doc = example.reference, example.predicted
    if GENRE in given.user_data:
        doc.user_data[GENRE] = given.user_data[GENRE]
    if SPEAKERS in given.spans:
        places = ((span.start_char, span.end_char, span.label) for span in given.spans[SPEAKERS])
        spans = (doc.char_span(*place, alignment_mode="expand") for place in places)
        doc.spans[SPEAKERS] = [span for span in spans if span is not None]
