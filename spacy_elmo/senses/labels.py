"""Labels of senses: `<word>%<sense>`, for example "bank%river". WordNet's keys have this form."""

SEPARATOR = "%"
SPANS_KEY = "senses"
# tags that name the same part of speech in a dictionary
SAME_POS = {"PROPN": "NOUN", "AUX": "VERB"}


def make_label(word: str, sense: str) -> str:
    """Return the label of a sense.

    word (str): The word, or several words separated by spaces.
    sense (str): The name of the sense, without "%".
    RETURNS (str): The label.
    RAISES (ValueError): If the word or the name is empty, or the name contains "%".
    """
    word, sense = " ".join(word.split()), sense.strip()
    if not word or not sense or SEPARATOR in sense:
        raise ValueError(
            f"The sense {sense!r} of the word {word!r} has no valid label. Neither may be empty, "
            f"and the sense must not contain {SEPARATOR!r}: the label is "
            f"'<word>{SEPARATOR}<sense>', for example 'bank{SEPARATOR}river'."
        )
    return f"{word}{SEPARATOR}{sense}"


def word_of(label: str) -> str:
    """Return the word of a label, in lower case.

    label (str): The label.
    RETURNS (str): The word. Several words are separated by single spaces.
    RAISES (ValueError): If the label does not have the form `<word>%<sense>`.
    """
    word, separator, sense = label.rpartition(SEPARATOR)
    word = normalize(word)
    if not word or not sense:
        raise ValueError(
            f"{label!r} is not the label of a sense. Write the word, {SEPARATOR!r} and the name of "
            f"the sense, for example 'bank{SEPARATOR}river'."
        )
    return word


def normalize(form: str) -> str:
    """Return a word as the inventory looks it up: in lower case, with single spaces.

    form (str): One or several words.
    RETURNS (str): The form. Underscores, as in WordNet's "take_place", count as spaces.
    """
    return " ".join(form.lower().replace("_", " ").split())


def normalize_pos(pos: str) -> str:
    """Return the part of speech that is compared: PROPN counts as NOUN, and AUX as VERB.

    pos (str): A universal part-of-speech tag, "" if it is unknown.
    RETURNS (str): The tag.
    """
    return SAME_POS.get(pos, pos)
