"""Search in a document set."""

from __future__ import annotations

from streaming.tasks.search import DocumentSet, keywords, sections

TEXT = "Intro.\n\n# Cats\n\nCats sleep a lot.\n\n## Dogs\n\nDogs bark at cats.\n\n# Empty\n"


def test_a_text_is_cut_at_its_headings() -> None:
    found = [(each.id, each.title, each.text) for each in sections("pets.md", TEXT)]

    assert found == [
        ("pets.md#1", "pets.md", "Intro."),
        ("pets.md#2", "Cats", "Cats sleep a lot."),
        ("pets.md#3", "Dogs", "Dogs bark at cats."),
    ]


def test_the_best_section_comes_first() -> None:
    documents = DocumentSet(sections("pets.md", TEXT))

    assert [hit.title for hit in documents.search("Why do dogs bark?")] == ["Dogs"]
    assert [hit.title for hit in documents.search("cat")] == ["Cats", "Dogs"]


def test_a_query_is_words_and_nothing_else() -> None:
    documents = DocumentSet(sections("pets.md", TEXT))

    assert documents.search('dogs" OR NEAR( -bark* ^x') != []
    assert documents.search("the of") == []
    assert documents.search("") == []


def test_keywords_are_what_a_question_is_about() -> None:
    assert keywords("What is the price of a cat, a cat?") == ["price", "cat"]
