"""The Python API and checked answers, in a real kernel."""

from __future__ import annotations

from tests.kernel.test_cells import shown

MODEL = "import pydantic\nclass City(pydantic.BaseModel):\n    name: str\n    people: int"


def test_a_reply_is_checked_by_a_model_of_the_notebook_and_shown_as_json(kernel):
    kernel.good(MODEL)

    run = kernel.good('%%flowgpt --raw --schema City -o answer\nHere: {"name": "Oslo", "people": 7}')

    assert kernel.good("print(answer.data, answer.data.people + 1)").printed == "name='Oslo' people=7 8\n"
    assert len(run.outputs) == 1
    assert "Here:" in shown(run)


def test_a_reply_that_never_fits_fails_the_cell_in_one_line_and_keeps_every_attempt(kernel):
    kernel.good(MODEL)

    run = kernel.run("%%flowgpt --schema City --retries 1 -o answer\nno JSON")

    assert run.status == "error"
    assert run.error == "MismatchError: the reply does not fit City after 2 tries: there is no JSON in it."
    assert kernel.good("print(len(answer.attempts), answer.status)").printed == "1 failed\n"
    assert "no JSON" in kernel.good("%flowgpt show 1 1").outputs[0]["data"]["text/plain"]


def test_what_is_no_schema_says_what_one_is_and_sends_nothing(kernel):
    kernel.good("number = 3")

    for name, why in (("number", "not int"), ("City", "no variable City"), ("@gone.json", "gone.json cannot be read")):
        run = kernel.run(f"%%flowgpt --schema {name}\nhi")
        assert run.status == "error"
        assert why in run.error

    assert kernel.good("%flowgpt history").printed == "main has no turns yet\n"


def test_a_reply_as_the_last_line_streams_and_a_conversation_shows_its_transcript(kernel):
    kernel.good("from flowgpt_magic import Conversation, ask")

    assert shown(kernel.good("ask('hello there')")).startswith("hello there")
    (output,) = kernel.good("Conversation()").outputs

    assert output["data"]["text/plain"].startswith("main: 1 turn\n")
    assert "> hello there" in output["data"]["text/markdown"]


def test_cells_and_python_share_one_conversation(kernel):
    kernel.good("from flowgpt_magic import Conversation\nchat = Conversation()")

    kernel.good("%%flowgpt\nfrom a cell", cell_id="one")
    kernel.good("_text = chat.ask('from Python').text", cell_id="two")
    kernel.good("_text = chat.ask('from Python again').text", cell_id="two")

    assert (
        kernel.good("print([turn.prompt for turn in chat.turns])").printed == "['from a cell', 'from Python again']\n"
    )


def test_an_interrupt_while_python_waits_for_a_text_is_one_line_and_keeps_the_text(kernel):
    kernel.good("from flowgpt_magic import ask\nreply = ask('one two three', params={'pace': 0.5})")
    request = kernel.send("print('waiting')\nreply.text")  # what is printed is sent a moment later, by another thread
    waiting = []

    def interrupt_at_the_first_word(message):
        if message["msg_type"] == "stream" and not waiting:
            waiting.append(message)
            kernel.interrupt()

    run = kernel.collect(request, on_message=interrupt_at_the_first_word)

    assert (run.status, run.error) == ("error", "")
    assert [output["data"]["text/plain"].startswith("Interrupted: ") for output in run.outputs] == [True]
    assert kernel.good("print(reply.status)").printed == "cancelled\n"
