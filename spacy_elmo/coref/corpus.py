"""A corpus reader whose predicted Docs have speakers and a genre.

The predicted Docs of spaCy's readers contain only words, because components predict all
annotations. Speakers and genre are not predicted: they are part of the input.
"""

from collections.abc import Callable, Iterator

from spacy.language import Language
from spacy.training import Example

from .document import GENRE, SPEAKERS

Reader = Callable[[Language], Iterator[Example]]


def make_metadata_corpus(corpus: Reader) -> Reader:
    """Construct `spacy-elmo.MetadataCorpus.v1`: a reader that returns the examples of a corpus, and
    copies the speakers and the genre of the reference Docs to the predicted Docs.

    corpus (Callable[[Language], Iterator[Example]]): The corpus, for example spacy.Corpus.v1.
    CREATES (Callable[[Language], Iterator[Example]]): The reader.
    """

    def read(nlp: Language) -> Iterator[Example]:
        for example in corpus(nlp):
            copy_metadata(example)
            yield example

    return read


def copy_metadata(example: Example) -> None:
    """Copy the genre and the speakers of the reference Doc to the predicted Doc. The spans of
    speakers are aligned to its tokens. A token in the spans of two speakers is assigned to the
    later one.

    example (Example): The example, which is changed in place.
    """
    reference, doc = example.reference, example.predicted
    if GENRE in reference.user_data:
        doc.user_data[GENRE] = reference.user_data[GENRE]
    if SPEAKERS in reference.spans:
        aligned = [
            doc.char_span(span.start_char, span.end_char, span.label, alignment_mode="expand")
            for span in reference.spans[SPEAKERS]
        ]
        doc.spans[SPEAKERS] = [span for span in aligned if span is not None]
