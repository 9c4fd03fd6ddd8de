"""Languages of the text that a biLM was trained on."""

import warnings
from typing import Any

ANY = "xx"  # spaCy's code for any language


def languages_of(values: Any) -> tuple[str, ...]:
    """Return languages as a configuration file holds them.

    values (Any): A list of codes of languages.
    RETURNS (Tuple[str, ...]): The codes.
    RAISES (TypeError): If this is no list of strings.
    """
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"'languages' is {values!r}; it must be a list of codes such as \"en\"")
    return tuple(values)


def warn_of_language(languages: tuple[str, ...], lang: str, reader: str) -> None:
    """Warn if a biLM runs on text in a language that it was not trained on.

    languages (Tuple[str, ...]): Languages of the biLM; with none recorded nothing is known.
    lang (str): Language of the text; empty if it is not known.
    reader (str): What the language of the text comes from.
    """
    if not languages or not lang or lang in languages or ANY in languages:
        return
    warnings.warn(
        f"The biLM was trained on text in {' and '.join(map(repr, languages))}, but {reader} is "
        f"{lang!r}. Its vectors tell little about words of another language. Load a biLM of that "
        f"language, or train one with `python -m spacy elmo pretrain`.",
        stacklevel=3,
    )
