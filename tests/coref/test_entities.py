import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_elmo.coref import clusters, entities
from spacy_elmo.coref.clusters import get_clusters, set_clusters
from spacy_elmo.coref.entities import (
    entities_by_token,
    entities_of,
    filter_clusters,
    mention_kind,
    representative,
    representatives,
    resolve_text,
)

ENGLISH, BARE = spacy.blank("en").vocab, Vocab()


def make_doc(text, entities=(), vocab=ENGLISH, **kwargs):
    """Return a Doc of words that are separated by spaces. Words of the form word/TAG have a
    part-of-speech tag."""
    words = text.split()
    if "/" in words[0]:
        words, kwargs["pos"] = zip(*(word.split("/") for word in words))
    doc = Doc(vocab, words=list(words), **{k: list(v) for k, v in kwargs.items()})
    set_clusters(doc, entities)
    return doc


def kind_of(text, start=0, end=None, vocab=ENGLISH):
    doc = make_doc(text, vocab=vocab)
    return mention_kind(doc[start : len(doc) if end is None else end])


@pytest.mark.parametrize(
    "text, kind",
    [
        ("Anna/PROPN", "name"),
        ("poor/ADJ old/ADJ Anna/PROPN", "name"),
        ("Mr./PROPN John/PROPN Smith/PROPN of/ADP the/DET bank/NOUN", "name"),
        ("the/DET king/NOUN of/ADP France/PROPN", "noun"),
        ("Anna/PROPN 's/PART hat/NOUN", "noun"),
        ("Anna/PROPN 's/PART", "name"),
        ("小明/PROPN 的/PART 帽子/NOUN", "noun"),
        ("his/PRON mother/NOUN", "noun"),
        ("their/DET friend/NOUN Anna/PROPN", "name"),
        ("he/PRON", "pronoun"),
        ("seine/DET", "pronoun"),
        ("he/PRON who/PRON laughs/VERB", "pronoun"),
        ("the/DET rich/ADJ", "noun"),
        ("there/ADV", "noun"),
    ],
)
def test_kinds_by_part_of_speech(text, kind):
    assert kind_of(text) == kind


def test_the_head_is_read_from_a_parse():
    doc = Doc(
        ENGLISH,
        words=["friends", "of", "Anna"],
        pos=["NOUN", "ADP", "PROPN"],
        heads=[0, 0, 1],
        deps=["ROOT", "prep", "pobj"],
    )
    assert [mention_kind(doc[0:3]), mention_kind(doc[2:3])] == ["noun", "name"]


@pytest.mark.parametrize(
    "text, start, end, kind",
    [
        ("and he said", 1, 2, "pronoun"),
        ("He said", 0, 1, "pronoun"),
        ("when I said", 1, 2, "pronoun"),
        ("Themselves", 0, 1, "pronoun"),
        ("to us and", 1, 2, "pronoun"),
        ("to the US and", 1, 3, "name"),
        ("Anna said", 0, 1, "name"),
        ("and Will Smith said", 1, 3, "name"),
        ("the White Rabbit", 0, 3, "name"),
        ("The Duke of York said", 0, 4, "name"),
        ("the old man", 0, 3, "noun"),
        ("The old man", 0, 3, "noun"),
        ("Old men and old women", 0, 2, "noun"),
        ("the white rabbit and the White Rabbit", 4, 7, "name"),
        ("He likes Apples . Apples , he said , are apples", 4, 5, "noun"),
        ("the king of France", 0, 4, "noun"),
        ("Anna 's large red hat", 0, 5, "noun"),
        ("mother", 0, 1, "noun"),
        (". . .", 0, 3, "noun"),
    ],
)
def test_kinds_by_words(text, start, end, kind):
    assert kind_of(text, start, end) == kind


@pytest.mark.parametrize(
    "text, start, end, kind",
    [
        ("und er sagte", 1, 2, "pronoun"),
        ("Er sagte , er", 0, 1, "pronoun"),
        ("Anna sagte", 0, 1, "name"),
        ("und Anna sagte", 1, 2, "name"),
        ("le chat noir", 0, 3, "noun"),
        ("souris", 0, 1, "noun"),
        ("他 说", 0, 1, "pronoun"),
        ("小明 说", 0, 1, "pronoun"),  # short and not capitalized: a rough rule, as documented
        ("老师 的 帽子", 0, 3, "noun"),
    ],
)
def test_kinds_by_words_in_a_language_without_stop_words(text, start, end, kind):
    assert kind_of(text, start, end, BARE) == kind


@pytest.mark.parametrize(
    "text, mentions, expected",
    [
        (
            "he saw the old man and Tom Smith said Tom ran",
            [(0, 1), (2, 5), (6, 8), (9, 10)],
            "Tom Smith",
        ),
        ("she is a doctor , the young doctor", [(0, 1), (2, 4), (5, 8)], "the young doctor"),
        (
            "poor Smith , who lived near London and Smith and old Mr. Smith",
            [(0, 2), (0, 7), (8, 9), (10, 13)],
            "old Mr. Smith",
        ),
        ("poor Anna saw Anna", [(0, 2), (3, 4)], "Anna"),
        (
            "the man who came to dinner and that man",
            [(0, 6), (7, 9)],
            "that man",
        ),
        ("he said that he and him", [(0, 1), (3, 4), (5, 6)], "he"),
        ("it", [(0, 1)], "it"),
    ],
)
def test_representative(text, mentions, expected):
    doc = make_doc(text, [mentions])
    assert representative(doc, "coref_clusters_1").text == expected
    assert [span.text for span in representatives(doc).values()] == [expected]


def test_representative_by_part_of_speech():
    text = (
        "I/PRON saw/VERB will/PROPN smith/PROPN ,/PUNCT the/DET old/ADJ man/NOUN 's/PART son/NOUN"
    )
    doc = make_doc(text, [[(0, 1), (5, 10), (2, 4)], [(5, 8)]])
    assert representative(doc, "coref_clusters_1").text == "will smith"
    assert representative(doc, "coref_clusters_2").text == "the old man"
    doc = make_doc("poor/ADJ Smith/PROPN saw/VERB Smith/PROPN", [[(0, 2), (3, 4)]])
    assert representative(doc, "coref_clusters_1").text == "Smith"


def test_a_description_is_preferred_to_a_pronoun():
    text = "the man who came to dinner on Sunday smiled , and he ate"
    doc = make_doc(text, [[(0, 8), (11, 12)]])
    assert representative(doc, "coref_clusters_1").text == "the man who came to dinner on Sunday"


@pytest.mark.parametrize("key", ["coref_clusters_2", "coref_clusters_3", "x"])
def test_an_unknown_entity_is_an_error(key):
    doc = make_doc("he", [[(0, 1)]])
    doc.spans["coref_clusters_3"] = []
    with pytest.raises(ValueError, match=f"no entity '{key}' with a mention"):
        representative(doc, key)


def test_entities_of_a_token():
    doc = make_doc("Anna 's mother saw her , she said", [[(0, 1), (4, 5)], [(0, 3), (6, 7)]])
    found = [entities_of(token) for token in doc]
    first, second = "coref_clusters_1", "coref_clusters_2"
    assert found == [[first, second], [second], [second], [], [first], [], [second], []]
    assert entities_by_token(doc) == found
    assert entities_of(doc[0], "other") == []


def test_nested_mentions_of_an_entity_count_once():
    doc = make_doc("the man in his own house", [[(0, 6), (3, 4)]])
    assert entities_of(doc[3]) == ["coref_clusters_1"]


def test_entities_with_mentions_of_equal_length_are_sorted_by_number():
    doc = make_doc("a b c", [[(i, i + 2)] for i in range(2)] + [[(0, 3)]])
    assert entities_of(doc[1]) == ["coref_clusters_1", "coref_clusters_3", "coref_clusters_2"]
    doc.spans.clear()
    for number in (10, 9):
        doc.spans[f"coref_clusters_{number}"] = [doc[0:1]]
    assert entities_of(doc[0]) == ["coref_clusters_9", "coref_clusters_10"]


def test_filter_by_kind():
    doc = make_doc(
        "Anna saw him and the dog saw her and it", [[(0, 1), (7, 8)], [(2, 3)], [(4, 6)]]
    )
    assert filter_clusters(doc, ["pronoun"]) == {
        "coref_clusters_1": [(7, 8)],
        "coref_clusters_2": [(2, 3)],
    }
    assert filter_clusters(doc, ["name", "noun"]) == {
        "coref_clusters_1": [(0, 1)],
        "coref_clusters_3": [(4, 6)],
    }
    assert list(filter_clusters(doc, entities.KINDS).values()) == get_clusters(doc)
    assert filter_clusters(doc, "noun") == {"coref_clusters_3": [(4, 6)]}
    set_clusters(doc, filter_clusters(doc, ("name",)).values())
    assert get_clusters(doc) == [[(0, 1)]]


def test_unknown_kinds_are_errors():
    doc = make_doc("he")
    for function in (filter_clusters, lambda doc, kinds: resolve_text(doc, kinds=kinds)):
        with pytest.raises(ValueError, match=r"\['pronouns'\]. Choose from name, noun, pronoun"):
            function(doc, ["pronouns", "name"])


def test_only_pronouns_are_resolved_by_default():
    doc = make_doc(
        "Anna Smith saw the dog . Anna fed it , and she smiled at it .",
        [[(0, 2), (6, 7), (11, 12)], [(3, 5), (8, 9), (14, 15)]],
    )
    assert resolve_text(doc) == (
        "Anna Smith saw the dog . Anna fed the dog , and Anna Smith smiled at the dog . "
    )
    assert resolve_text(doc, kinds=("pronoun", "name")) == (
        "Anna Smith saw the dog . Anna Smith fed the dog , and Anna Smith smiled at the dog . "
    )
    assert resolve_text(doc, kinds=()) == doc.text


def test_entities_of_pronouns_are_not_resolved():
    doc = make_doc("He said that he saw it", [[(0, 1), (3, 4)], [(5, 6)]])
    assert resolve_text(doc) == doc.text
    assert resolve_text(doc, kinds=entities.KINDS) == doc.text


def test_whitespace_is_preserved():
    text = " Anna  saw\n\nthe dog.\tShe (Anna)'d  seen it. "
    doc = spacy.blank("en")(text)
    places = {}
    for token in doc:
        places.setdefault(token.text, (token.i, token.i + 1))
    set_clusters(doc, [[places["Anna"], places["She"]], [places["dog"], places["it"]]])
    assert resolve_text(doc) == " Anna  saw\n\nthe dog.\tAnna (Anna)'d  seen dog. "


def test_inserted_text_has_no_trailing_whitespace():
    doc = spacy.blank("en")("it's the dog, it is")
    set_clusters(doc, [[(0, 1), (2, 4), (5, 6)]])
    assert resolve_text(doc) == "the dog's the dog, the dog is"


def test_filter_of_replacements():
    doc = make_doc("Anna said she saw her hat", [[(0, 1), (2, 3), (4, 5)]])
    asked = []

    def no_possessives(mention, best):
        asked.append((mention.text, best.text))
        return mention.text != "her"

    assert resolve_text(doc, filter=no_possessives) == "Anna said Anna saw her hat "
    assert asked == [("she", "Anna"), ("her", "Anna")]


def test_render():
    doc = make_doc("Anna said she saw her hat", [[(0, 1), (2, 3), (4, 5)]])

    def possessive(mention, text):
        return f"{text}'s" if mention.text == "her" else text

    assert resolve_text(doc, render=possessive) == "Anna said Anna saw Anna's hat "


def test_the_outer_one_of_nested_mentions_is_replaced():
    #       0    1   2   3      4 5    6   7 8
    text = "Mary saw Tom . Then his mother laughed"
    doc = make_doc(text, [[(0, 1), (5, 7)], [(2, 3), (5, 6)]])
    assert resolve_text(doc) == "Mary saw Tom . Then Tom mother laughed "
    assert resolve_text(doc, kinds=("pronoun", "noun")) == "Mary saw Tom . Then Mary laughed "


def test_pronouns_in_inserted_text_are_resolved():
    text = "Tom saw his mother . She laughed"
    doc = make_doc(text, [[(0, 1), (2, 3)], [(2, 4), (5, 6)]])
    assert resolve_text(doc) == "Tom saw Tom mother . Tom mother laughed "
    only_she = resolve_text(doc, filter=lambda mention, best: mention.text == "She")
    assert only_she == "Tom saw his mother . his mother laughed "


def test_mentions_that_contain_each_other_are_resolved_finitely():
    text = "her dog saw its owner , it saw her"
    doc = make_doc(text, [[(0, 2), (3, 4), (6, 7)], [(0, 1), (3, 5), (8, 9)]])
    assert {best.text for best in representatives(doc).values()} == {"her dog", "its owner"}
    assert resolve_text(doc).count("owner") < 10


def test_a_pronoun_inside_the_representative_is_not_replaced():
    text = "the man with his dog smiled . He left"
    doc = make_doc(text, [[(0, 5), (3, 4), (7, 8)]])
    assert resolve_text(doc) == "the man with his dog smiled . the man with his dog left "


def test_crossing_mentions():
    doc = make_doc("Tom and Anna or Bob saw them", [[(0, 3), (6, 7)], [(2, 5)]])
    assert resolve_text(doc, kinds=entities.KINDS) == "Tom and Anna or Bob saw Tom and Anna "
    text = "Tom Smith and Anna Jones saw the big old red dog"
    doc = make_doc(text, [[(0, 2), (6, 9)], [(3, 5), (8, 11)]])
    expected = "Tom Smith and Anna Jones saw Tom Smith red dog "
    assert resolve_text(doc, kinds=entities.KINDS) == expected


def test_a_mention_partly_inside_inserted_text_is_not_replaced():
    text = "Anna Smith , Tom and Anna or Bob saw them"
    doc = make_doc(text, [[(0, 2), (5, 8)], [(3, 6), (9, 10)]])
    found = resolve_text(doc, filter=lambda mention, best: True, kinds=["pronoun", "name"])
    assert found == "Anna Smith , Tom and Anna Smith saw Tom and Anna "


def test_a_mention_with_the_same_text_is_not_replaced():
    doc = make_doc("Tom saw Tom and Tom Smith", [[(0, 1), (2, 3)]])
    asked = []
    resolve_text(doc, kinds=entities.KINDS, filter=lambda *spans: asked.append(spans))
    assert asked == []


def test_empty_docs():
    doc = Doc(ENGLISH)
    assert resolve_text(doc) == "" and representatives(doc) == {} == filter_clusters(doc, "name")
    assert entities_by_token(doc) == []


def test_other_prefix():
    doc = make_doc("Anna said she saw him")
    set_clusters(doc, [[(0, 1), (2, 3)]], "people")
    assert resolve_text(doc) == doc.text
    assert resolve_text(doc, prefix="people") == "Anna said Anna saw him "
    assert list(representatives(doc, "people")) == ["people_1"]
    assert entities_of(doc[2], prefix="people") == ["people_1"]
    assert filter_clusters(doc, "pronoun", "people") == {"people_1": [(2, 3)]}


def test_cut_doc_and_join_docs_can_be_imported_from_entities():
    assert entities.cut_doc is clusters.cut_doc and entities.join_docs is clusters.join_docs


WORDS = st.sampled_from("he she his Anna Tom the old man dog ... , I and der".split())
MENTIONS = st.lists(
    st.lists(st.tuples(st.integers(0, 11), st.integers(1, 5)), max_size=4), max_size=5
)


@given(st.lists(WORDS, min_size=12, max_size=12), MENTIONS, st.sampled_from([ENGLISH, BARE]))
def test_any_clusters_are_resolved(words, drawn, vocab):
    given_clusters = [[(s, min(s + n, 12)) for s, n in mentions] for mentions in drawn]
    doc = make_doc(" ".join(words), given_clusters, vocab)
    for key, best in representatives(doc).items():
        assert best in list(doc.spans[key]) and best == representative(doc, key)
        kinds = [mention_kind(span) for span in doc.spans[key]]
        assert entities.KINDS.index(mention_kind(best)) == min(map(entities.KINDS.index, kinds))
    resolved = resolve_text(doc, kinds=entities.KINDS)
    assert resolved.endswith(" ") and set(resolved.split()) <= set(words)
    assert resolve_text(doc, filter=lambda mention, best: False) == doc.text
    assert [entities_of(token) for token in doc] == entities_by_token(doc)
