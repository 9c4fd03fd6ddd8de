"""The inventory: which senses a word has, and in which forms the word occurs in a text."""

from collections.abc import Iterable
from typing import Any

from .labels import normalize, normalize_pos, word_of


class Inventory:
    """The senses of words. Senses are numbered in the order in which they were added.

    The first sense of a word is its most frequent one as long as no sense has examples.
    """

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.pos: list[set[str]] = []
        self.numbers: dict[str, int] = {}
        self.senses_of: dict[str, list[int]] = {}
        self.words_of: dict[str, list[str]] = {}
        # the first word of each form, and the number of words of the longest form
        self.longest: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def add(self, label: str, form: str = "", pos: str = "") -> int:
        """Add a sense, or a form and a part of speech of a known sense.

        label (str): The label, `<word>%<sense>`.
        form (str): A form of the word, for example the plural. The word itself is always a form.
        pos (str): A part of speech of the sense, "" if it is unknown.
        RETURNS (int): The number of the sense.
        RAISES (ValueError): If the label has another form.
        """
        word = word_of(label)
        number = self.numbers.get(label)
        if number is None:
            number = self.numbers[label] = len(self.labels)
            self.labels.append(label)
            self.pos.append(set())
            self.senses_of.setdefault(word, []).append(number)
        if pos:
            self.pos[number].add(normalize_pos(pos))
        self._add_form(word, word)
        if form:
            self._add_form(normalize(form), word)
        return number

    def check(self, labels: Iterable[str]) -> None:
        """Check labels before any of them is added.

        labels (Iterable[str]): The labels.
        RAISES (ValueError): If one does not have the form `<word>%<sense>`.
        """
        for label in labels:
            word_of(label)

    def without(self, label: str) -> "Inventory":
        """Return the inventory without a sense, and without the forms that only its word has.

        label (str): The label of a known sense.
        RETURNS (Inventory): The inventory. The numbers of later senses are lower by one.
        """
        content = self.to_dict()
        number, word = self.numbers[label], word_of(label)
        for name in ("labels", "pos"):
            content[name] = content[name][:number] + content[name][number + 1 :]
        if len(self.senses_of[word]) == 1:
            forms = {f: [w for w in ws if w != word] for f, ws in content["forms"].items()}
            content["forms"] = {form: words for form, words in forms.items() if words}
        return Inventory.from_dict(content)

    def number_of(self, label: str) -> int:
        """Return the number of a sense.

        label (str): The label.
        RETURNS (int): The number.
        RAISES (ValueError): If the sense is unknown.
        """
        if label not in self.numbers:
            known = [self.labels[n] for n in self.senses_of.get(normalize(label.split("%")[0]), [])]
            raise ValueError(
                f"There is no sense {label!r}. "
                + (f"Known senses of the word: {', '.join(known)}." if known else "Add it first.")
            )
        return self.numbers[label]

    def candidates(self, form: str, lemma: str = "", pos: str = "") -> tuple[int, ...]:
        """Return the senses that a word in a text can have.

        form (str): The word as in the text.
        lemma (str): Its lemma, "" if it is unknown. If the lemma is a word of the inventory, its
            senses are the candidates. Otherwise, the senses of all words with this form are.
        pos (str): Its part of speech, "" if it is unknown. Senses that were only seen with other
            parts of speech are left out.
        RETURNS (Tuple[int, ...]): Numbers of senses, ascending.
        """
        lemma, pos = normalize(lemma), normalize_pos(pos)
        words = [lemma] if lemma in self.senses_of else self.words_of.get(normalize(form), [])
        numbers = {number for word in words for number in self.senses_of[word]}
        if pos:
            numbers = {n for n in numbers if not self.pos[n] or pos in self.pos[n]}
        return tuple(sorted(numbers))

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (Dict[str, Any]): The inventory as lists and dictionaries of strings."""
        forms = {f: [w for w in ws if w != f] for f, ws in self.words_of.items()}
        return {
            "labels": self.labels,
            "pos": [sorted(pos) for pos in self.pos],
            "forms": {form: words for form, words in forms.items() if words},
        }

    @classmethod
    def from_dict(cls, content: Any) -> "Inventory":
        """Return the inventory of which `to_dict` returned the content.

        content (Any): The content.
        RETURNS (Inventory): The inventory.
        RAISES (ValueError): If it is not such a content.
        """
        inventory = cls()
        if not isinstance(content, dict) or content.keys() != {"labels", "pos", "forms"}:
            raise ValueError("the inventory must have labels, pos and forms")
        labels, pos, forms = content["labels"], content["pos"], content["forms"]
        if not (_is_strings(labels) and isinstance(pos, list) and isinstance(forms, dict)):
            raise ValueError("the labels, pos or forms of the inventory have other types")
        if len(set(labels)) != len(labels) or len(pos) != len(labels):
            raise ValueError("a sense occurs twice, or pos has another number of senses")
        for label, tags in zip(labels, pos):
            if not _is_strings(tags):
                raise ValueError(f"the parts of speech of {label!r} are no strings")
            inventory.pos[inventory.add(label)].update(tags)
        for form, words in forms.items():
            if not _is_strings(words) or not inventory.senses_of.keys() >= set(words):
                raise ValueError(f"the form {form!r} belongs to words that have no senses")
            for word in words:
                inventory._add_form(form, word)
        return inventory

    def _add_form(self, form: str, word: str) -> None:
        words = self.words_of.setdefault(form, [])
        if word not in words:
            words.append(word)
        parts = form.split(" ")
        self.longest[parts[0]] = max(self.longest.get(parts[0], 0), len(parts))


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
