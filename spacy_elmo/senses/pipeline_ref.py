"""A weak reference to the pipeline of a component."""

import weakref
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc


class PipelineRef:
    """Refers to a pipeline. Copies refer to nothing, because a weak reference cannot be pickled.

    nlp (Optional[Language]): The pipeline.
    """

    def __init__(self, nlp: Language | None = None) -> None:
        self._nlp = None if nlp is None else weakref.ref(nlp)

    def __reduce__(self) -> tuple[type["PipelineRef"], tuple[()]]:
        return PipelineRef, ()

    def tokenize(self, word: str) -> str:
        """Return the tokens of a word, for example of one with hyphens.

        word (str): The word.
        RETURNS (str): The tokens, separated by spaces; the word if there is no pipeline.
        """
        nlp = None if self._nlp is None else self._nlp()
        return word if nlp is None else " ".join(token.text for token in nlp.make_doc(word))

    def run_before(self, component: Any, texts: list[str]) -> list[Doc]:
        """Process texts with the components before a component.

        component (Any): The component.
        texts (List[str]): The texts.
        RETURNS (List[Doc]): The Docs, as the component gets them.
        RAISES (ValueError): If there is no pipeline that contains the component.
        """
        if not texts:
            return []
        nlp = None if self._nlp is None else self._nlp()
        names = [] if nlp is None else [name for name, pipe in nlp.pipeline if pipe is component]
        if nlp is None or not names:
            raise ValueError(
                f"'{component.name}' is not in the pipeline that it was created in, so it cannot "
                f"process sentences. Give the uses of the word as Spans: nlp(sentence)[5:6]."
            )
        later = nlp.pipe_names[nlp.pipe_names.index(names[0]) :]
        return list(nlp.pipe(texts, disable=later))
