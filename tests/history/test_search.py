"""Text as the index and a search see it, and the line that is shown of what was found."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowgpt_magic.history import search
from flowgpt_magic.history.search import can_be_prefix, index_text, match_expression, snippet, words_of

TEXT = st.text(st.characters() | st.sampled_from("日本語かな한국어ไทย éÉßİ\n\t\0_*\"'"), max_size=60)


class TestSpaced:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("日本語", ["日", "本", "語"]),
            ("カタカナ", ["カ", "タ", "カ", "ナ"]),
            ("한국어를", ["한", "국", "어", "를"]),
            ("ภาษา", ["ภ", "า", "ษ", "า"]),
            ("Python入門 3", ["Python", "入", "門", "3"]),
            ("\U00020000\U0002a6d6", ["\U00020000", "\U0002a6d6"]),
            ("Größe und Straße", ["Größe", "und", "Straße"]),
        ],
    )
    def test_characters_that_are_words_stand_alone_and_other_words_stay_whole(self, text, words):
        assert index_text(text).split() == words

    @settings(deadline=None)
    @given(TEXT)
    @example("a\0b")
    @example("é\0日")
    def test_nothing_is_lost_but_nul_which_ends_a_text_for_sqlite(self, text):
        assert "\0" not in index_text(text)
        assert index_text(text).replace(" ", "") == text.replace("\0", " ").replace(" ", "")

    @settings(deadline=None)
    @given(TEXT, st.integers(0, 60))
    def test_it_does_not_matter_where_a_long_text_is_worked_on_in_pieces(self, text, before_cut):
        filler = "字" + "a" * (search.CHARS_PER_STEP - 1 - before_cut)

        assert index_text(filler + text) == index_text(filler) + index_text(text)

    @settings(deadline=None)
    @given(st.binary(max_size=40))
    def test_text_that_is_no_unicode_is_still_words(self, raw):
        assert index_text(raw) == index_text(raw.decode("utf-8", "replace"))

    @pytest.mark.parametrize("nothing", [None, "", b""])
    def test_nothing_is_no_words(self, nothing):
        assert index_text(nothing) == ""


class TestWhatAPersonTypes:
    @pytest.mark.parametrize(
        ("typed", "words"),
        [
            ("plot a histogram", ["plot", "a", "histogram"]),
            ('"exact phrase" -not (this OR that)*', ["exact", "phrase", "not", "this", "OR", "that"]),
            ("snake_case C++ x=1", ["snake", "case", "C", "x", "1"]),
            ("twice twice", ["twice"]),
            ("re\u0301sume\u0301", ["re\u0301sume\u0301"]),
            ("日本 語", ["日本", "語"]),
            (" \t\n\0_-\"'", []),
        ],
    )
    def test_words_are_kept_and_signs_are_not(self, typed, words):
        assert words_of(typed) == words

    def test_a_pasted_page_is_searched_by_its_first_words(self):
        assert words_of(" ".join(f"w{number}" for number in range(500))) == [f"w{number}" for number in range(32)]

    @settings(deadline=None)
    @given(TEXT)
    def test_no_word_can_leave_the_quotes_it_is_put_in(self, typed):
        words = words_of(typed)

        assert match_expression(words, prefix=False).count('"') == 2 * len(words)

    def test_a_word_of_characters_is_a_phrase_and_the_last_one_may_go_on(self):
        assert match_expression(["日本", "lang"], prefix=False) == '"日 本" "lang"'
        assert match_expression(["日本", "lang"], prefix=True) == '"日 本" "lang"*'

    @pytest.mark.parametrize(
        ("words", "may"), [([], False), (["ab"], False), (["a", "abc"], True), (["abc", "a"], False), (["日"], True)]
    )
    def test_a_beginning_has_three_letters_or_is_not_latin(self, words, may):
        assert can_be_prefix(words) is may


class TestSnippet:
    @pytest.mark.parametrize(
        ("text", "word", "begins"),
        [
            ("one two three", "TWO", "two"),
            ("the Café closes", "cafe", "Café"),
            ("the cafe closes", "Café", "cafe"),
            ("a re\u0301sume\u0301 here", "resume", "re\u0301sume\u0301"),
            ("these houses", "hous", "houses"),
            ("ahouse and house", "house", "house"),
            ("日本語の文", "語", "語"),
            ("İstanbul ve Çeşme", "çeşme", "Çeşme"),
        ],
    )
    def test_the_line_begins_some_characters_before_the_word(self, text, word, begins):
        filler = "x" * 99 + " "

        line = snippet((filler + text + " " + filler * 3,), [word])

        place = (filler + text).rindex(begins)
        assert line.startswith("…")
        assert line.endswith("…")
        assert (filler + text)[place - search.SNIPPET_BEFORE : place + len(begins)].lstrip() in line
        assert line[1:].index(begins) <= search.SNIPPET_BEFORE

    def test_the_first_text_that_has_a_word_is_shown(self):
        assert snippet(("a prompt", "the reply says blue"), ["red", "blue"]) == "the reply says blue"

    def test_without_any_of_the_words_it_is_the_beginning_of_the_first_text(self):
        assert snippet(("a prompt", "a reply"), ["zebra"]) == "a prompt"
        assert snippet(("", ""), ["zebra"]) == ""

    def test_lines_become_one(self):
        assert snippet(("def f():\n\n    return\t1\u2028",), ["return"]) == "def f(): return 1"

    @settings(deadline=None)
    @given(st.tuples(TEXT, TEXT), st.lists(st.text("abé日_ ß", min_size=1, max_size=4)), st.integers(0, 3))
    @example(("ß" * 300, ""), ["ss"], 1)
    def test_it_is_always_one_short_line_of_one_of_the_texts(self, texts, words, times):
        texts = tuple(text * 10**times for text in texts)

        line = snippet(texts, words)

        assert len(line) <= search.SNIPPET_LENGTH + 2
        assert line == " ".join(line.split())
        assert any(line.strip("…").strip() in " ".join(text.split()) for text in texts) or "…" in "".join(texts)
