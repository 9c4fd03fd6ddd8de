"""Languages of the text on which a biLM was trained."""

import warnings
from typing import Any

ANY = "xx"  # spaCy's code for any language


def languages_of(values: Any) -> tuple[str, ...]:
    """Check the languages of a configuration file.

    values (Any): A list of language codes.
    RETURNS (Tuple[str, ...]): The language codes.
    RAISES (TypeError): If `values` is not a list of strings.
    """
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(
            f"'languages' is {values!r}; it must be a list of language codes such as \"en\""
        )
    return tuple(values)


def warn_of_language(languages: tuple[str, ...], lang: str, reader: str) -> None:
    """Warn if a biLM reads text in a language on which it was not trained.

    languages (Tuple[str, ...]): Languages of the biLM; empty if unknown.
    lang (str): Language of the text; empty if unknown.
    reader (str): Source of `lang`, for the message, e.g. "the language of the pipeline".
    """
    if not languages or not lang or lang in languages or ANY in languages:
        return
    warnings.warn(
        f"The biLM was trained on text in {' and '.join(map(repr, languages))}, but {reader} is "
        f"{lang!r}. Its vectors contain little information about words of another language. Load a "
        f"biLM for that language, or train one with `python -m spacy elmo pretrain`.",
        stacklevel=3,
    )
