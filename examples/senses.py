"""Distinguish two senses of a word by its contextual vectors.

    python examples/senses.py

For each occurrence of "bank", the script prints its mean cosine similarity to the other occurrences
of each sense. It compares vectors only and trains nothing.
"""

import spacy
from wasabi import msg

from spacy_elmo import similarity

WORD = "bank"
SENSES = {
    "river": (
        "They walked along the bank of the river.",
        "The boat was tied to the bank of the stream.",
        "We sat upon the grassy bank of the brook.",
    ),
    "money": (
        "He had a thousand pounds in the bank.",
        "She paid the money into the bank on Monday.",
        "The bank would not lend him another shilling.",
    ),
}


def main() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("elmo")
    nlp.initialize()
    words = {
        sense: [next(token for token in doc if token.text == WORD) for doc in nlp.pipe(sentences)]
        for sense, sentences in SENSES.items()
    }
    rows = []
    n_correct = 0
    for sense, found in words.items():
        for word in found:
            means = {}
            for other_sense, others in words.items():
                cosines = [similarity(word, other) for other in others if other is not word]
                means[other_sense] = sum(cosines) / len(cosines)
            closer = max(means, key=lambda name: means[name])
            n_correct += closer == sense
            rows.append((word.doc.text, *(f"{mean:.3f}" for mean in means.values()), closer))
    header = ("sentence", *(f"to '{sense}'" for sense in SENSES), "closer to")
    msg.table(rows, header=header, divider=True, max_col=60)
    msg.info(f"{n_correct} of {len(rows)} occurrences are closer to their own sense.")


if __name__ == "__main__":
    main()
