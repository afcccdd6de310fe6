"""Every turn on disk: what is saved comes back, is found by its words, and is counted once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowgpt_magic.errors import HistoryNewerError, HistoryRecordError
from flowgpt_magic.history.database import INDEX_AT_ONCE, History
from flowgpt_magic.history.dead_kernels import PRESUMED_DEAD_AFTER
from flowgpt_magic.history.migrations import NEWEST
from flowgpt_magic.history.processes import this_kernel
from flowgpt_magic.history.records import ConversationRecord, NotebookRecord, PartialText, RequestRecord
from flowgpt_magic.messages import Turn, Usage
from tests import processes
from tests.records import change_record, conversation_record, notebook_record, request_record, turn_record

ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs"]) | st.just("\0"), max_size=30)
TIMES = st.floats(0, 2e9)
USAGES = st.builds(
    Usage,
    prompt_tokens=st.none() | st.integers(0, 10**6),
    completion_tokens=st.none() | st.integers(0, 10**6),
    finish_reason=st.none() | ANY_TEXT,
    first_chunk_seconds=st.none() | st.floats(0, 100),
    seconds=st.none() | st.floats(0, 100),
    chunks=st.integers(0, 1000),
)
NOON = datetime(2026, 3, 4, 12).timestamp()  # in local time, as days are counted
DAY = 86_400


@pytest.fixture
def history() -> Iterator[History]:
    history = History(":memory:")
    yield history
    history.close()


@pytest.fixture
def notebook(history: History) -> NotebookRecord:
    notebook = notebook_record()
    history.save(notebook)
    return notebook


@pytest.fixture
def conversation(history: History, notebook: NotebookRecord) -> ConversationRecord:
    conversation = conversation_record(notebook)
    history.save(conversation)
    return conversation


def begun(history: History, **values: Any) -> ConversationRecord:
    """A conversation of a notebook of its own."""
    notebook = notebook_record(**values)
    conversation = conversation_record(notebook)
    history.save(notebook, conversation)
    return conversation


def ended(conversation: ConversationRecord, **values: Any) -> Turn:
    """A turn that is complete."""
    return turn_record(conversation, **{"status": "complete", "ended": time.time()} | values)


def copy_conversations(history: History, from_notebook_id: str, to_notebook_id: str) -> tuple[ConversationRecord, ...]:
    """Copy them, and return the new ones."""
    copies = history.copies(from_notebook_id, to_notebook_id)
    history.save(*copies)
    return tuple(each for each in copies if isinstance(each, ConversationRecord))


def texts(found: tuple[Any, ...]) -> list[str]:
    return [each.turn.text for each in found]


def everything(history: History) -> list[list[dict[str, Any]]]:
    """All rows of all tables."""
    tables = ("notebooks", "conversations", "turns", "changes")
    return [history._run(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in tables]


class TestSaving:
    @settings(deadline=None)
    @given(
        texts=st.lists(ANY_TEXT, min_size=9, max_size=9),
        usage=USAGES,
        times=st.lists(TIMES, min_size=2, max_size=2),
        notices=st.lists(st.text(max_size=5).map(str.casefold), max_size=2),
        flags=st.tuples(st.booleans(), st.booleans()),
        status=st.sampled_from(["complete", "cancelled", "failed"]),
    )
    @example(["\ud83d", "\ude00", "\ud83d\ude00", "a\0b", "\0", "", "\ud800", "'", "\udfff\0"], Usage(), [0.0, 1.0], [],
             (True, False), "complete")  # fmt: skip
    def test_any_turn_comes_back_as_it_was(self, texts, usage, times, notices, flags, status):
        prompt, text, system, provider, model, cell_id, run, key, kernel = texts
        history = History(":memory:")
        turn = turn_record(
            begun(history),
            prompt=prompt,
            text=text,
            system=system,
            provider=provider,
            model=model,
            cell_id=cell_id,
            run=run,
            request_key=key,
            kernel=kernel,
            usage=usage,
            started=times[0],
            ended=times[1],
            notices=tuple(notices),
            live=flags[0],
            replayed=flags[1],
            status=status,
        )

        history.save(turn)

        assert history.turn(turn.turn_id) == turn
        assert history.turns(turn.conversation_id, live_only=False) == (turn,)
        while history.index_ended_turns():
            pass
        assert history.turn(turn.turn_id) == turn
        history.close()

    @settings(deadline=None)
    @given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
    @example("\ud800", "a\0b", "\udfff\0")
    def test_any_name_is_found_again(self, key, name, request_key):
        history = History(":memory:")
        notebook = notebook_record(key=key, label=name, path=key)
        conversation = conversation_record(notebook, name=name, system=key, model=name)
        turn = ended(conversation, request_key=request_key)
        change = change_record(conversation, kind=name, added=(key, name), removed=(turn.turn_id,))
        history.save(notebook, conversation, turn, change)

        assert history.notebook(key) == notebook
        assert history.conversation(notebook.notebook_id, name) == conversation
        assert history.changes(conversation.conversation_id) == (change,)
        assert history.find_replay(request_key) == (turn if request_key else None)
        history.close()

    def test_a_record_with_the_same_id_is_changed(self, history, conversation):
        turn = turn_record(conversation)
        history.save(turn)

        history.save(replace(turn, text="blue", status="complete", ended=3.0))

        assert history.turns(conversation.conversation_id) == (
            replace(turn, text="blue", status="complete", ended=3.0),
        )

    def test_a_turn_that_grows_has_its_new_text(self, history, conversation):
        turn = turn_record(conversation)
        history.save(turn)

        history.grow_turn(turn.turn_id, "so \ud83d")

        assert history.turn(turn.turn_id) == replace(turn, text="so \ud83d")

    def test_a_notebook_or_conversation_never_replaces_a_later_one(self, history, notebook, conversation):
        later = replace(notebook, label="later", seen=notebook.seen + 1)
        changed = replace(conversation, name="later", changed=conversation.changed + 1)
        history.save(later, changed)

        history.save(notebook, conversation)

        assert history.notebook(notebook.key) == later
        assert history.conversation(notebook.notebook_id, "later") == changed

    def test_all_of_a_save_is_stored_or_nothing(self, history, conversation):
        other = conversation_record(notebook_record(), name="of a notebook that is not stored")
        before = everything(history)

        with pytest.raises(HistoryRecordError, match="a turn could not be saved to the history: FOREIGN KEY"):
            history.save(turn_record(conversation), other)

        assert everything(history) == before
        history.save(turn_record(conversation))

    def test_a_number_that_is_too_large_leaves_the_rest_out_too(self, history, conversation):
        with pytest.raises(HistoryRecordError):
            history.save(turn_record(conversation), turn_record(conversation, place=2**63))

        assert history.turns(conversation.conversation_id) == ()

    def test_a_transaction_that_is_refused_is_over(self, history, notebook):
        history._database.execute(f"PRAGMA user_version = {NEWEST + 1}")

        with pytest.raises(HistoryNewerError):
            history.save(replace(notebook, label="new", seen=notebook.seen + 1))

        assert not history._database.in_transaction
        assert history.notebook(notebook.key) == notebook

    def test_secrets_are_not_in_the_file(self, tmp_path):
        history = History(tmp_path / "history.sqlite3")
        conversation = begun(history)
        parameters = {"api_key": "s3cr3t", "options": [{"headers": {"Authorization": "s3cr3t"}}], "temperature": 1}
        error = "no answer from http://me:s3cr3t@proxy:8080"
        history.save(replace(conversation, parameters=parameters, changed=conversation.changed + 1))
        history.save(ended(conversation, parameters=parameters, error=error, notices=(error,)))
        history.close()

        (file,) = tmp_path.iterdir()
        assert b"s3cr3t" not in file.read_bytes()
        assert b"no answer from" in file.read_bytes()


class TestTheFile:
    def test_one_that_is_deleted_or_moved_is_noticed(self, tmp_path):
        path = tmp_path / "history.sqlite3"
        history = History(path)
        assert not history.replaced

        path.rename(tmp_path / "elsewhere")
        assert history.replaced
        History(path).close()

        assert history.replaced
        history.close()

    def test_memory_is_never_replaced(self, history):
        assert not history.replaced


STREAM = """
import sys
from flowgpt_magic.history.database import History
from tests.records import conversation_record, notebook_record, turn_record
notebook = notebook_record(key="known")
conversation = conversation_record(notebook)
turn = turn_record(conversation)
history = History(sys.argv[1])
history.save(notebook, conversation, turn)
history.grow_turn(turn.turn_id, "the text so far")
print("ready", flush=True)
input()
"""


class TestAKernelThatDies:
    def test_its_turn_streams_while_it_lives_and_is_cancelled_with_its_text_when_it_was_killed(self, tmp_path):
        path = tmp_path / "history.sqlite3"
        with processes.running([sys.executable, "-c", STREAM, str(path)], **processes.TEXT) as process:
            assert process.stdout.readline() == "ready\n"
            watching = History(path)
            (conversation,) = watching.conversations(watching.notebook("known").notebook_id)
            conversation_id = conversation.conversation.conversation_id
            (turn,) = watching.turns(conversation_id)
            assert (turn.status, turn.text, turn.ended) == ("streaming", "the text so far", None)
            opened_meanwhile = History(path)
            opened_meanwhile.close()
            assert watching.turns(conversation_id) == (turn,)
            process.kill()
            process.wait(60)

        (cancelled,) = watching.turns(conversation_id)

        assert cancelled == replace(turn, status="cancelled", ended=cancelled.ended)
        assert turn.started <= cancelled.ended <= time.time()
        assert watching._run("SELECT status FROM turns").fetchall() == [("streaming",)]
        opened_after = History(path)
        assert opened_after.turns(conversation_id) == (cancelled,)
        assert opened_after._run("SELECT status FROM turns").fetchall() == [("cancelled",)]
        opened_after.close()
        watching.close()

    def test_an_end_that_comes_after_all_replaces_the_one_that_was_assumed(self, tmp_path):
        path = tmp_path / "history.sqlite3"
        history = History(path)
        conversation = begun(history)
        pid, start, place = this_kernel().split(" ", 2)
        turn = turn_record(conversation, kernel=f"{pid} {int(start) - 1} {place}")
        history.save(turn)
        History(path).close()
        assert history.turn(turn.turn_id).status == "cancelled"

        history.save(replace(turn, text="all of it", status="complete", ended=5.0))

        assert history.turn(turn.turn_id).status == "complete"
        history.close()


class TestNotebooks:
    def test_the_one_that_was_seen_last_comes_first(self, history):
        for number, seen in enumerate((2.0, 3.0, 1.0)):
            history.save(notebook_record(key=str(number), seen=seen))

        assert [each.key for each in history.notebooks()] == ["1", "0", "2"]

    def test_one_that_nobody_knows_is_none(self, history):
        assert history.notebook("/nowhere.ipynb") is None

    @pytest.fixture
    def twins(self, history: History) -> list[ConversationRecord]:
        """Two notebooks with the same key, made by two kernels at once, with a conversation each."""
        notebooks = [notebook_record(key="/a.ipynb", created=created) for created in (5.0, 1.0)]
        names = ("second", "first")
        found = [
            conversation_record(each, name=name, created=each.created)
            for each, name in zip(notebooks, names, strict=True)
        ]
        history.save(notebook_record(key="/between.ipynb", created=3.0), *notebooks, *found)
        return found

    def test_of_two_with_the_same_key_it_is_the_older_one(self, history, twins):
        assert history.notebook("/a.ipynb").notebook_id == twins[1].notebook_id

    def test_notebooks_with_the_same_key_count_as_one(self, history, twins):
        for number, twin in enumerate(twins):
            history.save(ended(twin, text=f"blue {number}", started=NOON + number))
            history.save(request_record(twin, started=NOON, usage=Usage(prompt_tokens=1)))

        for twin in twins:
            found = history.conversations(twin.notebook_id)
            assert [each.conversation.name for each in found] == ["first", "second"]
            assert history.conversation(twin.notebook_id, "first") == twins[1]
            assert history.conversation(twin.notebook_id, "second") == twins[0]
            assert texts(history.search("blue", notebook_id=twin.notebook_id)) == ["blue 1", "blue 0"]
            assert [row.prompt_tokens for row in history.usage_rows(notebook_id=twin.notebook_id)] == [2]

    def test_so_do_their_cells(self, history, twins):
        between = conversation_record(history.notebook("/between.ipynb"))
        history.save(between, ended(between, cell_id="c"))
        history.save(ended(twins[0], cell_id="a", started=7.0), ended(twins[1], cell_id="b", started=6.0))

        assert history.cells(["a", "c"]) == {"/a.ipynb": {"a", "b"}, "/between.ipynb": {"c"}}
        assert list(history.cells(["c", "b"])) == ["/a.ipynb", "/between.ipynb"]
        assert history.cells(["a"]) == {"/a.ipynb": {"a", "b"}}
        assert history.cells_at("/a.ipynb") == ({"a", "b"}, 7.0)

    def test_its_cells_are_those_that_hold_a_live_turn(self, history):
        conversation = begun(history, key="/a.ipynb")
        history.save(ended(conversation, cell_id="live"), ended(conversation, cell_id="old", live=False))
        history.save(ended(conversation, cell_id=""), ended(conversation, cell_id="live"))

        assert history.cells(["live"]) == {"/a.ipynb": {"live"}}
        assert history.cells(["old", "", "unknown", "\ud800"]) == {}
        assert history.cells([]) == {}
        assert history.cells_at("/a.ipynb")[0] == {"live"}
        assert history.cells_at("/none.ipynb") == (frozenset(), 0.0)


class TestConversations:
    def test_the_oldest_comes_first_with_the_number_of_its_live_turns_and_its_last_use(self, history, notebook):
        new = conversation_record(notebook, name="new", created=2.0, changed=9.0)
        old = conversation_record(notebook, name="old", created=1.0)
        history.save(new, old, ended(old, started=4.0), ended(old, started=5.0), ended(old, started=6.0, live=False))

        found = history.conversations(notebook.notebook_id)

        assert [(each.conversation, each.turns, each.last_used) for each in found] == [(old, 2, 5.0), (new, 0, 9.0)]

    def test_a_removed_one_is_listed_only_when_asked_for(self, history, notebook):
        gone = conversation_record(notebook, name="gone", removed=True)
        history.save(gone)

        assert history.conversations(notebook.notebook_id) == ()
        assert history.conversation(notebook.notebook_id, "gone") is None
        assert [each.conversation for each in history.conversations(notebook.notebook_id, removed=True)] == [gone]

    def test_names_are_those_of_the_list_in_its_order(self, history):
        twins = [notebook_record(key="/a.ipynb", created=created) for created in (5.0, 1.0)]
        made = zip(twins, ("b", "a"), (1.0, 3.0), strict=True)
        history.save(*twins, *(conversation_record(each, name=name, created=at) for each, name, at in made))
        history.save(conversation_record(twins[0], name="gone", removed=True, created=2.0))

        for notebook in twins:
            listed = history.conversations(notebook.notebook_id)
            assert history.names(notebook.notebook_id) == ("b", "a") == tuple(each.conversation.name for each in listed)
        assert history.names("nobody") == ()

    def test_of_two_with_the_same_name_it_is_the_oldest(self, history, notebook):
        new, old, removed = (
            conversation_record(notebook, created=2.0),
            conversation_record(notebook, created=1.0),
            conversation_record(notebook, created=0.0, removed=True),
        )
        history.save(new, old, removed)

        assert history.conversation(notebook.notebook_id, "main") == old

    def test_turns_come_by_place_and_version_and_the_live_ones_alone_unless_all_are_asked_for(
        self, history, conversation
    ):
        spots = [(2, 1, True), (1, 2, True), (1, 1, False), (10, 1, True), (1, 10, False)]
        for place, version, live in spots:
            history.save(ended(conversation, place=place, version=version, live=live))

        live_ones = history.turns(conversation.conversation_id)
        every = history.turns(conversation.conversation_id, live_only=False)

        assert [(turn.place, turn.version, turn.live) for turn in every] == sorted(spots)
        assert live_ones == tuple(turn for turn in every if turn.live)

    def test_the_versions_of_a_place_come_in_order(self, history, conversation):
        for version in (10, 1, 2):
            history.save(ended(conversation, place=3, version=version, live=version == 10))
        history.save(ended(conversation, place=4))

        versions = history.versions(conversation.conversation_id, 3)

        assert [turn.version for turn in versions] == [1, 2, 10]

    def test_of_the_changes_the_last_ones_come_oldest_first(self, history, conversation):
        for number in (3, 1, -4, 2):
            history.save(change_record(conversation, number=number, added=(str(number),), undone=number < 0))

        def numbers(last: int) -> list[int]:
            return [change.number for change in history.changes(conversation.conversation_id, last)]

        assert numbers(2) == [2, 3]
        assert numbers(-1) == [-4, 1, 2, 3]
        assert numbers(0) == []

    def test_what_nobody_knows_is_nothing(self, history):
        assert history.turn("x") is None
        assert history.turns("x") == history.versions("x", 1) == history.changes("x") == ()

    def test_a_turn_is_found_by_the_beginning_of_its_id(self, history, conversation):
        for turn_id in ("abc1", "abd2", "abd3", "b"):
            history.save(ended(conversation, turn_id=turn_id))

        assert [turn.turn_id for turn in history.turns_by_prefix("abc")] == ["abc1"]
        assert [turn.turn_id for turn in history.turns_by_prefix("abd2")] == ["abd2"]
        assert len(history.turns_by_prefix("ab")) == 2
        assert history.turns_by_prefix("x") == ()


class TestReplay:
    def test_it_is_the_newest_complete_turn_of_the_same_request_in_whichever_notebook(self, history):
        one, other = begun(history), begun(history)
        newest = ended(other, request_key="k", started=3.0, text="newest")
        history.save(ended(one, request_key="k", started=1.0), newest, ended(one, request_key="k", started=2.0))
        history.save(ended(one, request_key="other", started=9.0))
        for status in ("failed", "cancelled", "streaming"):
            history.save(ended(one, request_key="k", started=9.0, status=status))

        assert history.find_replay("k") == newest

    def test_a_version_that_was_replaced_still_answers(self, history, conversation):
        old = ended(conversation, request_key="k", live=False)
        history.save(old)

        assert history.find_replay("k") == old

    def test_a_request_without_a_key_has_no_answer(self, history, conversation):
        history.save(ended(conversation, request_key=""))

        assert history.find_replay("") is None
        assert history.find_replay("unknown") is None

    def test_many_requests_are_looked_up_at_once_each_with_its_newest_answer(self, history, conversation):
        turns = [ended(conversation, request_key=f"k{n % 3}", started=float(n), text=str(n)) for n in range(9)]
        failed = ended(conversation, request_key="k0", started=99.0, status="failed")
        history.save(*turns, failed, ended(conversation, request_key=""))

        found = history.find_replays(["k0", "k2", "unknown", "", "k0"])

        assert found == {"k0": turns[6], "k2": turns[8]}
        assert history.find_replays([]) == {}


@st.composite
def filled(draw: st.DrawFn) -> tuple[History, NotebookRecord]:
    """A history with a notebook of some conversations, turns and changes."""
    history = History(":memory:")
    notebook = notebook_record()
    history.save(notebook)
    for name in draw(st.lists(st.sampled_from(["main", "other", "third"]), max_size=4)):
        conversation = conversation_record(notebook, name=name, removed=draw(st.integers(0, 3)) == 0)
        turns = [
            turn_record(
                conversation,
                place=draw(st.integers(1, 3)),
                version=draw(st.integers(1, 3)),
                live=draw(st.booleans()),
                status=draw(st.sampled_from(["complete", "streaming", "failed", "cancelled"])),
                text=draw(ANY_TEXT),
                usage=draw(USAGES),
            )
            for _ in range(draw(st.integers(0, 3)))
        ]
        ids = [turn.turn_id for turn in turns]
        changes = [
            change_record(conversation, number=number, added=tuple(draw(st.permutations(ids))), removed=("gone",))
            for number in range(draw(st.integers(0, 2)))
        ]
        history.save(conversation, *turns, *changes)
    return history, notebook


def shape(history: History, notebook: NotebookRecord) -> list[Any]:
    """The conversations of a notebook without their ids, which a copy has of its own."""
    found = []
    for summary in history.conversations(notebook.notebook_id):
        conversation_id = summary.conversation.conversation_id
        turns = history.turns(conversation_id, live_only=False)
        order = {turn.turn_id: number for number, turn in enumerate(sorted(turns, key=without_ids))}
        changes = [
            (change.number, change.kind, [order[each] for each in change.added if each in order], change.undone)
            for change in history.changes(conversation_id, -1)
        ]
        found.append((summary.conversation.name, summary.turns, sorted(map(without_ids, turns)), changes))
    return sorted(found, key=repr)


def without_ids(turn: Turn) -> str:
    stopped = replace(turn, status="cancelled", ended=turn.started) if turn.status == "streaming" else turn
    return repr(replace(stopped, turn_id="", conversation_id=""))


class TestCopying:
    @settings(deadline=None)
    @given(filled())
    def test_a_copy_is_the_same_and_the_originals_stay_as_they_are(self, made):
        history, notebook = made
        copy = notebook_record()
        history.save(copy)
        before = [set(rows) for rows in everything(history)]

        copies = copy_conversations(history, notebook.notebook_id, copy.notebook_id)

        after = [set(rows) for rows in everything(history)]
        assert all(old <= new for old, new in zip(before, after, strict=True))
        assert {each.notebook_id for each in copies} <= {copy.notebook_id}
        assert shape(history, copy) == shape(history, notebook)
        known = {row[1] for row in after[2]}
        for each in copies:
            own = {turn.turn_id for turn in history.turns(each.conversation_id, live_only=False)}
            assert own <= known
            for change in history.changes(each.conversation_id, -1):
                assert set(change.added) <= own
                assert change.removed == ()
        history.close()

    def test_a_name_that_the_notebook_has_already_is_left_out(self, history, notebook, conversation):
        other = conversation_record(notebook, name="other")
        copy = notebook_record()
        own = conversation_record(copy)
        history.save(other, copy, own, ended(conversation, text="not taken"))

        copies = copy_conversations(history, notebook.notebook_id, copy.notebook_id)

        assert [each.name for each in copies] == ["other"]
        assert history.turns(own.conversation_id) == ()
        assert copy_conversations(history, notebook.notebook_id, copy.notebook_id) == ()

    def test_the_copy_of_a_turn_that_streams_has_ended(self, history, notebook, conversation):
        turn = turn_record(conversation, text="so far")
        copy = notebook_record()
        history.save(turn, copy)

        (copied,) = copy_conversations(history, notebook.notebook_id, copy.notebook_id)

        (found,) = history.turns(copied.conversation_id)
        assert (found.status, found.text, found.ended) == ("cancelled", "so far", turn.started)
        assert history.turn(turn.turn_id) == turn


class TestSearch:
    @pytest.mark.parametrize(
        ("text", "asked"),
        [
            ("The SKY is blue", "sky"),
            ("the sky is blue", "Blue SKY"),
            ("le café de la gare", "cafe"),
            ("le cafe de la gare", "Café"),
            ("re\u0301sume\u0301 of it", "résumé"),
            ("résumé of it", "re\u0301sume\u0301"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("Ελλάδα", "ΕΛΛΆΔΑ"),
            ("Đặng Thế Phong", "đang the"),
            ("naïve Bayes", "naive bay"),
            ("histograms are drawn", "histo"),
            ("日本語を勉強する", "日本語"),
            ("日本語を勉強する", "勉強"),
            ("한국어를 배운다", "한국어"),
            ("ภาษาไทย", "ไทย"),
            ("pandas入門", "pandas"),
            ("pandas入門", "入門"),
            ("a\0b", "a b"),
            ("snake_case_name", "snake_case"),
            ("df.groupby('x')", "df.groupby"),
            ("half \ud83d of it", "half of"),
            ("it's C++", "it's"),
            ("№ 5²", "5²"),
        ],
    )
    def test_it_finds(self, text, asked, history, conversation):
        history.save(ended(conversation, text=text), ended(conversation, text="something else", place=2))

        assert texts(history.search(asked)) == [text]

    @pytest.mark.parametrize(
        ("text", "asked"),
        [
            ("日本語", "日語"),
            ("the sky is blue", "sky red"),
            ("histogram", "gram"),
            ("histogram", "hi"),
            ("histogram of it", "hist of"),
            ("a b", "b a c"),
            ("the sky", ""),
            ("the sky", "   "),
            ("the sky", "\"'*()-"),
        ],
    )
    def test_it_does_not_find(self, text, asked, history, conversation):
        history.save(ended(conversation, prompt="", text=text))

        assert history.search(asked) == ()

    @pytest.mark.parametrize(
        "typed",
        [
            *('"', "'", '"open', "a AND", "OR", "NOT a", "NEAR(a b)", "text:a", "*", "a*b", "^a", "a -b", "{a b}: c"),
            *("(", "a)", "a;DROP TABLE turns", "%", "_", "\\", "\0", "\ud800", "ꟊ", "𞤀 𐓘", "²", "ʰ", "a" * 40_000),
        ],
    )
    def test_signs_and_operators_that_people_type_are_no_trouble(self, typed, history, conversation):
        history.save(ended(conversation, text="AND OR NOT NEAR text a b"))

        assert len(history.search(typed)) <= 1
        assert len(history.search("near")) == 1

    def test_words_that_are_operators_elsewhere_are_words(self, history, conversation):
        history.save(ended(conversation, text="to be OR not"), ended(conversation, text="to be"))

        assert texts(history.search("be OR to")) == ["to be OR not"]

    @settings(deadline=None)
    @given(ANY_TEXT | st.text("\"'*()-+:^{}\\ aANDORTEQ日é\u0301\0", max_size=20), ANY_TEXT)
    def test_any_search_in_any_text_raises_nothing(self, typed, text):
        history = History(":memory:")
        history.save(ended(begun(history), text=text))

        assert len(history.search(typed)) <= 1
        history.close()

    @settings(deadline=None)
    @given(st.lists(st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=8), min_size=1, max_size=4))
    def test_a_text_is_found_by_what_it_says(self, words):
        # Letters that are newer than SQLite's tables are no words for it, so that there is one that is.
        history = History(":memory:")
        text = " ".join(words)
        history.save(ended(begun(history), text=f"{text} {SOMETHING}"))

        assert texts(history.search(f"{text} {SOMETHING}")) == [f"{text} {SOMETHING}"]
        history.close()

    def test_prompts_are_searched_like_replies_and_words_may_stand_in_either(self, history, conversation):
        history.save(ended(conversation, prompt="why is the sky blue", text="because of scattering"))

        assert len(history.search("scattering sky")) == 1

    def test_the_newest_come_first_and_no_more_than_asked_for(self, history, conversation):
        history.save(*(ended(conversation, text=f"blue {number}", place=number) for number in range(5)))

        assert texts(history.search("blue")) == ["blue 4", "blue 3", "blue 2", "blue 1", "blue 0"]
        assert texts(history.search("blue", limit=2)) == ["blue 4", "blue 3"]
        assert texts(history.search("blu", limit=2)) == ["blue 4", "blue 3"]
        assert history.search("blue", limit=0) == history.search("blue", limit=-1) == ()

    def test_whole_words_leave_no_place_for_beginnings_where_there_are_enough_of_them(self, history, conversation):
        texts_of_turns = enumerate(("plot it", "plotting it", "plotted"))
        history.save(*(ended(conversation, text=text, place=place) for place, text in texts_of_turns))

        assert texts(history.search("plot", limit=1)) == ["plot it"]
        assert texts(history.search("plot", limit=3)) == ["plotted", "plotting it", "plot it"]

    def test_it_may_look_in_one_notebook_only(self, history):
        one, other = begun(history), begun(history)
        history.save(ended(one, text="blue one"), ended(other, text="blue other"))

        assert texts(history.search("blue", notebook_id=one.notebook_id)) == ["blue one"]
        assert texts(history.search("blu", notebook_id=other.notebook_id)) == ["blue other"]
        assert history.search("blue", notebook_id="none") == ()

    def test_a_hit_says_where_it_is_from(self, history, notebook, conversation):
        turn = ended(conversation, text="the sky\nis blue")
        history.save(turn)

        (hit,) = history.search("SKY")

        assert (hit.turn, hit.conversation, hit.notebook) == (turn, conversation, notebook)
        assert hit.snippet == "the sky is blue"

    def test_turns_of_removed_conversations_and_replaced_versions_are_found(self, history, notebook):
        gone = conversation_record(notebook, removed=True)
        history.save(gone, ended(gone, text="blue", live=False))

        (hit,) = history.search("blue")

        assert hit.conversation == gone

    def test_a_turn_is_listed_once_however_many_versions_it_has(self, history, conversation):
        first = ended(conversation, text="blue", place=4)
        versions = [replace(first, turn_id=f"version {number}", version=number, live=number == 2) for number in (2, 3)]
        history.save(ended(conversation, text="red"), replace(first, live=False), *versions)

        (hit,) = history.search("blue")

        assert (hit.turn, hit.number) == (versions[0], 2)

    def test_an_older_version_is_found_by_what_only_it_says(self, history, conversation):
        first = ended(conversation, text="blue", live=False)
        history.save(first, ended(conversation, text="red", version=2))

        (hit,) = history.search("blue")

        assert (hit.turn, hit.number) == (first, 0)

    def test_of_copies_the_one_of_the_own_notebook_is_listed(self, history, notebook, conversation):
        copy, branch = notebook_record(), conversation_record(notebook, name="branch")
        turn = ended(conversation, text="blue", place=3, started=NOON)
        branched = replace(turn, turn_id="branched", conversation_id=branch.conversation_id, place=1)
        history.save(turn, copy, branch, branched)
        copy_conversations(history, notebook.notebook_id, copy.notebook_id)

        for key in (notebook.key, copy.key):
            (hit,) = history.search("blue", own_key=key)

            assert (hit.notebook.key, hit.number) == (key, 1)

    def test_equal_prompts_that_were_sent_twice_are_two_turns(self, history, conversation):
        history.save(*(ended(conversation, text="blue", place=place, started=NOON + place) for place in (1, 2)))

        assert [hit.number for hit in history.search("blue")] == [2, 1]

    def test_the_prompts_of_several_batches_at_one_place_are_several_turns(self, history, notebook):
        batches = conversation_record(notebook, name="batches of main", removed=True)
        items = [ended(batches, text=f"blue {key}", live=False, started=NOON, request_key=key) for key in "ab"]
        history.save(batches, *items)

        assert texts(history.search("blue")) == ["blue b", "blue a"]

    def test_many_versions_of_one_turn_hide_no_other(self, history, conversation):
        first = ended(conversation, text="blue other", place=1)
        versions = [
            ended(conversation, text=f"blue {number}", place=2, version=number, live=False) for number in range(1, 40)
        ]
        history.save(first, *versions)

        assert texts(history.search("blue", limit=2)) == ["blue 39", "blue other"]

    def test_a_turn_that_streams_is_found_when_it_has_ended(self, history, conversation):
        turn = turn_record(conversation, text="the sky")
        history.save(turn)
        assert history.search("sky") == ()

        history.save(replace(turn, text="the sky is blue", status="complete"))

        assert texts(history.search("sky")) == ["the sky is blue"]

    def test_what_is_in_the_index_is_found_where_nothing_can_be_written(self, history, conversation):
        history.save(ended(conversation, text="blue one"))
        history.index_ended_turns()
        history.save(ended(conversation, text="blue two"))
        history._database.execute("PRAGMA query_only = 1")

        assert texts(history.search("blue")) == ["blue one"]


SOMETHING = "something"


def step(words: list[str]) -> st.SearchStrategy[tuple[str, int, str]]:
    """What may happen to one of three turns, with a text of some of these words."""
    happens = st.sampled_from(["save", "end", "grow", "silence", "index"])
    return st.tuples(happens, st.integers(0, 2), st.lists(st.sampled_from(words), max_size=3).map(" ".join))


def test_a_search_reads_its_hits_in_two_queries(history, conversation):
    history.save(*(ended(conversation, text=f"blue {number}", place=number) for number in range(30)))
    history.index_ended_turns()
    queries: list[str] = []
    history._database.set_trace_callback(queries.append)

    hits = history.search("blue")

    assert texts(hits) == [f"blue {number}" for number in range(29, 9, -1)]
    assert all(hit.conversation == conversation for hit in hits)
    assert (
        len([query for query in queries if query.startswith("SELECT")]) <= 3
    )  # is all indexed, what is found, and its texts


class TestIndex:
    WORDS = ("alpha", "brücke", "日本", "half\ud83d", "nul\0byte", "ελλάδα")
    ASKED = ("alpha", "brücke", "日本", "half", "byte", "ελλάδα")

    @settings(deadline=None)
    @given(st.lists(step(list(WORDS)), max_size=25))
    @example([("save", 0, "alpha"), ("silence", 0, ""), ("index", 0, ""), ("grow", 0, "日本"), ("end", 0, "brücke")])
    def test_it_is_never_out_of_step(self, steps):
        history = History(":memory:")
        conversation = begun(history)
        turns = [turn_record(conversation, prompt="", place=place) for place in range(3)]
        for happens, number, text in steps:
            turn = turns[number]
            if happens == "index":
                history.index_ended_turns()
            elif happens == "silence":
                long_ago = time.time() - PRESUMED_DEAD_AFTER - 1
                history._run("UPDATE turns SET grown = ? WHERE turn_id = ?", (long_ago, turn.turn_id))
            elif happens == "grow":
                history.save(PartialText(turn.turn_id, text))
            else:
                status = "streaming" if happens == "save" else "complete"
                history.save(replace(turn, text=text, status=status))
            self.check(history)
        history._run("UPDATE turns SET status = 'complete'")
        assert not history.index_ended_turns()
        self.check(history)
        for word, asked in zip(self.WORDS, self.ASKED, strict=True):
            having = {turn.turn_id for turn in history.turns(conversation.conversation_id) if word in turn.text}
            assert {hit.turn.turn_id for hit in history.search(asked)} == having
        history.close()

    def check(self, history: History) -> None:
        """A turn stands in the index with the words it has now, exactly while it is marked so."""
        history._run("INSERT INTO words (words) VALUES ('integrity-check')")
        rows = history._rows(("number", "text"), "SELECT number, text FROM turns WHERE indexed = 1")
        for word, asked in zip(self.WORDS, self.ASKED, strict=True):
            phrase = '"日 本"' if asked == "日本" else f'"{asked}"'
            found = history._rows(("number",), "SELECT rowid FROM words WHERE words MATCH ?", (phrase,))
            assert {row["number"] for row in found} == {row["number"] for row in rows if word in row["text"]}

    def test_many_turns_enter_it_some_at_a_time(self, history, conversation):
        history.save(*(ended(conversation, text="blue", place=place) for place in range(INDEX_AT_ONCE + 2)))

        more = [history.index_ended_turns() for _ in range(3)]

        assert more == [True, False, False]
        assert len(history.search("blue", limit=999)) == INDEX_AT_ONCE + 2

    def test_a_turn_that_is_saved_again_with_the_same_words_stays_in_it(self, history, conversation):
        turn = ended(conversation, text="blue")
        history.save(turn)
        history.index_ended_turns()

        history.save(replace(turn, live=False))

        assert history._run("SELECT indexed FROM turns").fetchall() == [(1,)]
        assert texts(history.search("blue")) == ["blue"]

    def test_a_turn_of_another_machine_enters_it_when_it_was_given_up(self, history, conversation):
        history.save(turn_record(conversation, text="blue", kernel="1 2 elsewhere"))
        assert history.search("blue") == ()

        history._run("UPDATE turns SET grown = ?", (time.time() - PRESUMED_DEAD_AFTER - 1,))

        assert texts(history.search("blue")) == ["blue"]


class TestUsage:
    def test_it_is_added_up_by_day_provider_and_model_the_newest_day_first(self, history, conversation):
        def asked(day: int, model: str, *tokens: int, **usage: Any) -> RequestRecord:
            return request_record(conversation, model=model, started=NOON + day * DAY, usage=Usage(*tokens, **usage))

        requests = [asked(0, "b", 1, 10)]
        requests += [asked(0, "a", 2, 20, first_chunk_seconds=1.0, seconds=3.0, chunks=5)]
        requests += [asked(0, "a", 4, first_chunk_seconds=2.0, seconds=3.0, chunks=2), asked(1, "a")]
        history.save(*requests)

        rows = history.usage_rows()

        assert [(row.day, row.model, row.requests) for row in rows] == [
            ("2026-03-05", "a", 1),
            ("2026-03-04", "a", 2),
            ("2026-03-04", "b", 1),
        ]
        assert [(row.prompt_tokens, row.completion_tokens) for row in rows] == [(0, 0), (6, 20), (1, 10)]
        assert [row.first_chunk_seconds for row in rows] == [None, 1.5, None]
        assert [row.chunks_per_second for row in rows] == [None, 1.5, None]
        assert {row.provider for row in rows} == {"echo"}

    @settings(deadline=None)
    @given(st.lists(USAGES, min_size=1, max_size=5))
    def test_the_mean_speed_is_that_of_the_requests(self, usages):
        history = History(":memory:")
        conversation = begun(history)
        history.save(*(request_record(conversation, started=NOON, usage=usage) for usage in usages))

        (row,) = history.usage_rows()

        told = [speed for usage in usages if (speed := usage.chunks_per_second) is not None]
        assert row.chunks_per_second == (pytest.approx(sum(told) / len(told)) if told else None)
        history.close()

    def test_it_may_begin_at_some_time(self, history, conversation):
        history.save(request_record(conversation, started=NOON), request_record(conversation, started=NOON - 1))

        assert [row.requests for row in history.usage_rows(since=NOON)] == [1]
        assert [row.requests for row in history.usage_rows()] == [2]
        assert history.usage_rows(since=NOON + DAY) == ()

    def test_every_request_counts_however_it_ended_and_once_however_often_it_is_saved(self, history, conversation):
        for status in ("complete", "failed", "cancelled"):
            request = request_record(conversation, status=status, started=NOON, estimated=status == "cancelled")
            history.save(request, request)

        assert [(row.requests, row.estimated) for row in history.usage_rows()] == [(3, 1)]

    def test_a_turn_that_is_copied_or_imported_was_not_sent_again(self, history, notebook, conversation):
        copy = notebook_record()
        history.save(copy, ended(conversation), request_record(conversation))

        copy_conversations(history, notebook.notebook_id, copy.notebook_id)

        assert [row.requests for row in history.usage_rows(notebook_id=notebook.notebook_id)] == [1]
        assert history.usage_rows(notebook_id=copy.notebook_id) == ()

    def test_the_request_of_a_turn_whose_kernel_was_killed_counts_with_an_estimate(self, tmp_path):
        path = tmp_path / "history.sqlite3"
        history = History(path)
        conversation = begun(history)
        pid, start, place = this_kernel().split()
        killed = f"{pid} {int(start) - 1} {place}"
        history.save(turn_record(conversation, kernel=killed, prompt="one two", text="three four five"))
        history.close()
        for _time in range(2):
            history = History(path)

            (row,) = history.usage_rows()

            assert (row.requests, row.estimated) == (1, 1)
            assert 0 < row.prompt_tokens < row.completion_tokens
            history.close()


def test_two_processes_that_write_lose_nothing(tmp_path: Path):
    writing = """
import sys
from flowgpt_magic.history.database import History
from tests.records import conversation_record, notebook_record, turn_record
history = History(sys.argv[1], patience=60)
notebook = notebook_record(key=sys.argv[2])
conversation = conversation_record(notebook)
print("ready", flush=True)
input()
history.save(notebook, conversation)
for number in range(30):
    turn = turn_record(conversation, place=number)
    history.save(turn)
    history.grow_turn(turn.turn_id, f"reply {number} of {sys.argv[2]}")
"""
    path = tmp_path / "history.sqlite3"
    History(path).close()
    commands = [[sys.executable, "-c", writing, str(path), key] for key in ("a", "b")]
    assert processes.at_once(*commands) == [("", "")] * 2

    history = History(path)
    for key in ("a", "b"):
        (summary,) = history.conversations(history.notebook(key).notebook_id)
        found = [turn.text for turn in history.turns(summary.conversation.conversation_id)]
        assert found == [f"reply {number} of {key}" for number in range(30)]
    history.close()
