"""The topics of ``%flowgpt help``, and the examples of the options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flowgpt_magic.magics.commands.command import Group

GROUP_TITLES: Mapping[Group, str] = {
    "ask": "Ask",
    "conversation": "The conversation",
    "models": "Models",
    "files": "Files",
    "settings": "Settings",
}


@dataclass(frozen=True)
class Topic:
    """A topic of the help.

    Attributes:
        title: one line.
        text: paragraphs, separated by empty lines; code stands between double backticks.
        rows: what to type, and what it does.
        examples: two cells that run as they stand.
    """

    title: str
    text: str
    rows: tuple[tuple[str, str], ...]
    examples: tuple[str, str]


# By the name of the option. They run as they stand, with a table ``frame``, a type ``City`` and a
# file ``notes.txt``.
OPTION_EXAMPLES: Mapping[str, tuple[str, str]] = {
    "model": ("%flowgpt -m echo Say hello.", "%%flowgpt -m echo,echo:messages\nSay hello."),
    "temperature": ("%flowgpt -t 0.2 Say hello.", "%%flowgpt --temperature=1.2\nMake up a word."),
    "think": (
        "%flowgpt local --think off Say hello.",
        "%%flowgpt openai_compatible:gpt-5 --think=high --dry-run\nIs 91 a prime number?",
    ),
    "max-tokens": (
        "%flowgpt local --max-tokens 20 Say hello.",
        "%%flowgpt local --max-tokens=20\nTell me about the sea.",
    ),
    "param": ("%flowgpt -P pace=0.01 Say hello.", "%%flowgpt -P pace=0.01 -P fail_after=9\nSay hello."),
    "system": ('%flowgpt -s "Be brief." Say hello.', "%%flowgpt -s @notes.txt\nSay hello."),
    "chat": ("%flowgpt -c aside Say hello.", '%%flowgpt -c "my aside"\nSay hello.'),
    "format": ("%flowgpt -f text Say hello.", '%%flowgpt -f json --raw\n{"hello": "world"}'),
    "out": ("%flowgpt -o answer Say hello.", "%%flowgpt answer <<\nSay hello."),
    "attach": ("%flowgpt -a frame What is in it?", "%%flowgpt -a frame,cell:-1,notes.txt\nWhat is in them?"),
    "raw": ("%flowgpt --raw {frame} stays as typed", "%%flowgpt --raw\nWhat does {x!r} mean in an f-string?"),
    "no-history": ("%flowgpt --no-history Say hello.", "%%flowgpt --no-history -o answer\nSay hello."),
    "append": ("%flowgpt --append Say hello.", "%%flowgpt --append\nSay hello once more."),
    "cache": ("%flowgpt --cache Say hello.", "%%flowgpt --cache -t 0\nSay hello."),
    "refresh": ("%flowgpt --cache --refresh Say hello.", "%%flowgpt --cache --refresh\nSay hello."),
    "dry-run": ("%flowgpt --dry-run Say hello.", "%%flowgpt --dry-run -a frame\nWhat is in it?"),
    "next-cell": ("%flowgpt --next-cell Write a loop.", "%%flowgpt --next-cell -f code\n```python\n1 + 1\n```"),
    "schema": ("%flowgpt --schema City --raw {}", '%%flowgpt --schema City --raw -o city\n{"name": "Oslo"}'),
    "timeout": ("%flowgpt --timeout 20 Say hello.", "%%flowgpt --timeout=20\nSay hello."),
    "retries": ("%flowgpt --retries 0 Say hello.", "%%flowgpt --retries=5\nSay hello."),
    "proxy": ('%flowgpt --proxy "" Say hello.', "%%flowgpt --proxy http://127.0.0.1:3128\nSay hello."),
    "no-stream": ("%flowgpt --no-stream Say hello.", "%%flowgpt --no-stream -f html\nSay hello."),
    "quiet": ("%flowgpt --quiet -o answer Say hello.", "%%flowgpt --quiet -o answer\nSay hello."),
    "help": ("%flowgpt -h", "%flowgpt help -m"),
}

TOPICS: Mapping[str, Topic] = {
    "prompts": Topic(
        "What a prompt may hold",
        "A prompt is not a program: ``{…}`` that is no reference, JSON, f-strings, ``$5`` and LaTeX are sent as typed."
        "\n\nNames that look like those of secrets stay as typed too.",
        (
            ("{name}", "the value of a variable"),
            ('{frame.shape}, {prices["tea"][0]}', "an attribute, an item"),
            ("{frame.head(3)}, {frame.describe()}", "the calls of pandas and polars tables that only look"),
            ("{Out[3]}, {Err}", "an output, the last error"),
            ("{{name}}, --raw", "send the braces as typed"),
            ("%flowgpt -- show me a list", "send a prompt that begins like a subcommand"),
        ),
        ("%flowgpt How many rows has {frame.shape}?", "%%flowgpt\nName the columns:\n\n{frame}"),
    ),
    "attach": Topic(
        "What -a attaches",
        "Several names are separated by commas. Each value is described within ``attach_tokens``. A secret is only sent"
        " as ``name!``. The line below the reply says what was sent and what was not.",
        (
            ("-a frame", "a table: columns, types, first rows; also arrays, functions, classes, objects"),
            ("-a fig", "a figure of fig, ax = plt.subplots(); as a picture where the model takes pictures"),
            ("-a cell:-1, -a out:3", "the cell before, the output of cell 3"),
            ("-a err", "the last error with your lines of code"),
            (
                "-a notes.txt, -a src/*.py, -a src",
                "files, a pattern, a folder: its text files, without what .gitignore excludes",
            ),
            ("-a report.pdf#3-5", "pages of a PDF; also .docx, .xlsx, .parquet, .ipynb"),
            ("-a figure.png", "a picture, where the model takes pictures"),
            ("![a cat](attachment:cat.png)", "in a prompt: a picture that was pasted into this or a Markdown cell"),
        ),
        ("%flowgpt -a frame What is in it?", "%%flowgpt -a frame,cell:-1,notes.txt\nWhat do they have in common?"),
    ),
    "formats": Topic(
        "How a reply is shown: -f",
        "Raw HTML in a reply is shown as text, and remote images as their addresses.",
        (
            ("-f markdown", "the default"),
            ("-f text", "as it arrives, as plain text"),
            ("-f code", "the code alone"),
            ("-f json", "checked and indented"),
            ("-f html", "sanitized HTML"),
            ("-f math", "a formula"),
        ),
        ("%flowgpt -f text Say hello.", "%%flowgpt -f code\nHere:\n\n```python\n1 + 1\n```"),
    ),
    "cells": Topic(
        "A notebook is a conversation",
        "Each cell sees the turns of the cells that ran before it, also after a restart. Running a cell again replaces"
        " its turn; the earlier version is kept. Restart and Run All rebuilds the same conversation. The turn of a"
        " deleted cell stays.\n\nIn a terminal, a conversation belongs to the folder. After a restart, cells use"
        " ``main`` until ``%flowgpt use`` names another.",
        (
            ("--append", "add a turn instead of replacing that of the cell"),
            ("--cache", "answer a repeated request from the history"),
            ("%flowgpt undo, redo", "reverse an edit, a rerun, clear, branch; or restore it"),
            ("-c NAME", "another conversation for one cell"),
            ("--no-history", "send no earlier turns, keep nothing"),
        ),
        ("%flowgpt history", "%flowgpt undo\n%flowgpt redo"),
    ),
    "storage": Topic(
        "Where the turns are kept",
        "An SQLite file that only you can read. Keys, tokens and passwords from the settings are never stored.",
        (
            ("FLOWGPT_HISTORY, history = …", "another file, :memory:, or off"),
            ("history_tokens = 3000", "send about so many tokens of earlier turns: whole turns, newest first"),
            ("%flowgpt search WORDS", "find prompts and replies of all notebooks"),
            ("%flowgpt adopt PATH", "take over the history of a notebook that was moved by hand"),
            ("%flowgpt import FOLDER", "merge history files of other machines"),
        ),
        ("%flowgpt search sky", "%config FlowGPT.history_tokens = 3000\n%flowgpt config"),
    ),
    "replies": Topic(
        "Use a reply in Python",
        "``-o answer`` stores a Reply. ``ask(…)`` and ``Conversation(…).ask(…)`` return one. Nothing is sent before it"
        " is read; looking at it (repr, a variable view) sends nothing.",
        (
            ("answer.text, for chunk in answer, await answer", "the text, as a whole or as it arrives"),
            ("answer.code_blocks, answer.data", "the code; the JSON value or the value of the schema"),
            ("answer.status, answer.usage, answer.notices", "how it ended; tokens and seconds; what was said below it"),
            ("answer.cancel()", "stop it, keep the text"),
            ("answer.citations, .reasoning, .images", "what came with the text"),
        ),
        (
            "%flowgpt -o answer Say hello.\nanswer.text, answer.usage.seconds",
            'from flowgpt_magic import ask\nask("Say hello.", model="echo").text',
        ),
    ),
    "comparisons": Topic(
        "Several models at once",
        "The replies arrive at the same time, in columns where there is room. They are versions of one turn: the"
        " conversation continues with the first model's, unless another is kept. An interrupt stops all of them. A"
        " model that fails says so in its column; the cell fails only if all do.",
        (
            ("%%flowgpt -m local,gpt,claude", "models, providers and aliases, separated by commas without spaces"),
            ("%flowgpt retry -m local,gpt", "the last prompt again; %flowgpt edit 2 -m local,gpt TEXT"),
            ("%flowgpt keep 2, keep gpt", "continue with another reply; %flowgpt undo takes that back"),
            ("-o answers", "answers[0], answers['gpt'], for reply in answers, answers.texts"),
            ("compare('…', ['local', 'gpt'])", "the same in Python"),
            ("map_prompts(…, models=['local', 'gpt'])", "many prompts, with a column for each model"),
        ),
        (
            "%%flowgpt -m echo,echo:messages -o answers\nSay hello.",
            'from flowgpt_magic import compare\ncompare("Say hello.", ["echo", "echo:messages"]).texts',
        ),
    ),
    "batches": Topic(
        "Many prompts at once",
        "Nothing is sent before the results are read: by the last line of a cell, a loop, or ``.texts``. Run it again"
        " after an interrupt or a restart: only the missing prompts are sent. A failed prompt does not affect others."
        " ``map_partition`` does the same on the workers of Ray, Dask and Spark.",
        (
            ("map_prompts(frame, template=…)", "{name} in the template is a column; {} is the item of a list"),
            ("concurrency=8, requests_per_minute=60", "how fast"),
            ("schema=City", "check every reply"),
            ("models=['local', 'gpt']", "ask several models, with a column for each"),
            ("refresh=True, sample='b'", "ask again; keep a second set of replies"),
            ("batch.texts, .failed, .to_frame()", "the results, in order"),
        ),
        (
            "from flowgpt_magic import map_prompts\n"
            'map_prompts(["tea", "milk"], template="Describe {}.", model="echo").texts',
            "from flowgpt_magic import map_prompts\n"
            'map_prompts(frame, template="Describe {item}.", model="echo").to_frame()',
        ),
    ),
    "servers": Topic(
        "Servers with OpenAI's protocol",
        "Any server with ``/v1/chat/completions``. Its key is given by the name of an environment variable, or as"
        " ``keyring:SERVICE/USER``; it is sent to that server only.",
        (
            ("OpenAI", "nothing to set; the key is in OPENAI_API_KEY, the address may be in OPENAI_BASE_URL"),
            ("Ollama", "openai_base_url = http://127.0.0.1:11434/v1"),
            ("LM Studio, llama.cpp", "http://127.0.0.1:1234/v1, http://127.0.0.1:8080/v1"),
            ("vLLM", "http://HOST:8000/v1; openai_key is the variable of its --api-key"),
            ("LiteLLM", "http://127.0.0.1:4000/v1, openai_key = LITELLM_KEY"),
            ("OpenRouter", "https://openrouter.ai/api/v1, openai_key = OPENROUTER_API_KEY"),
            ("%flowgpt alias NAME …", "a short name for a server, its key's variable and a model"),
            ("Claude", "its own API: -m anthropic:MODEL, see %flowgpt help claude"),
        ),
        (
            "%flowgpt set openai_base_url http://127.0.0.1:11434/v1\n%flowgpt config",
            "%flowgpt alias gpu openai_compatible:qwen --endpoint http://127.0.0.1:8000/v1 --key-variable GPU_KEY",
        ),
    ),
    "claude": Topic(
        "Claude's own API",
        "The provider ``anthropic`` asks Anthropic's server, or another one with ``/v1/messages``. The key is in"
        " ANTHROPIC_API_KEY. The system prompt and the earlier turns are marked for the server's cache, so that later"
        " turns cost less.",
        (
            ("%flowgpt models anthropic", "the models of the server"),
            ("--think high", "the model reasons first; also -P thinking_budget=4096 for older models"),
            ("-a paper.pdf", "the document itself, with its pictures and scans; the reply cites its pages"),
            ("--max-tokens N", "the longest reply with its reasoning; by default 32,000 tokens"),
            ("-P prompt_caching=false", "mark nothing for the cache"),
            ("anthropic_base_url = URL", "a gateway; anthropic_key is the variable of its key"),
            ('-P extra_body={"inference_geo": "eu"}', "any other field of the request"),
        ),
        (
            "%flowgpt alias claude anthropic:claude-sonnet-4-5",
            "%flowgpt set anthropic_base_url http://127.0.0.1:4000\n%flowgpt config",
        ),
    ),
    "parameters": Topic(
        "Parameters of the provider",
        "They are written in JSON. If a model refuses one of the settings, it is left out and the reply says so; a"
        " refused parameter of the prompt itself is an error.",
        (
            ('-P stop=["END"]', "a parameter of this prompt"),
            ('-P extra_body={"top_a": 0.2}', "a field that only the server knows"),
            ("-P top_p=null", "without the value of the settings"),
            ("%flowgpt set -P top_p=0.9", "for this conversation"),
            ("[params], [extra_headers]", "tables of the settings file; headers go to the server in force only"),
        ),
        ("%flowgpt -P pace=0.01 Say hello.", "%flowgpt set -P pace=0.01\n%flowgpt config"),
    ),
    "settings": Topic(
        "Where a setting comes from",
        "The first place that has it: an option, the conversation, ``%config``, the environment, the project's"
        " ``pyproject.toml``, JupyterLab's settings, your settings file. A project cannot set a provider, an address,"
        " a key, a system prompt or tools."
        '\n\n  model = "local"\n  temperature = 0.3\n  proxy = "http://proxy.example:3128"\n'
        '  ca_bundle = "~/company-ca.pem"\n  [params]\n  top_p = 0.9\n  [extra_headers]\n  api-key = "$AZURE_KEY"',
        (
            ("-t 0.2", "this prompt"),
            ("%flowgpt set temperature 0.2", "this conversation, stored with it"),
            ("%config FlowGPT.temperature = 0.2", "all cells of this kernel"),
            ("FLOWGPT_TEMPERATURE=0.2", "an environment variable"),
            ("[tool.flowgpt_magic] in pyproject.toml", "a project"),
            ("Settings → Settings Editor → FlowGPT", "JupyterLab's notebooks: model, temperature and format; no keys"),
            ("settings.toml", "yours; %flowgpt config says where it is"),
            (
                'c.MagicsManager.lazy_magics = {"flowgpt": "flowgpt_magic"}',
                "in ipython_config.py: makes %load_ext unnecessary",
            ),
        ),
        ("%flowgpt config", "%config FlowGPT.temperature = 0.2\n%flowgpt"),
    ),
    "jupyterlab": Topic(
        "In JupyterLab and Notebook 7",
        "The package brings an extension of these two. Prompt cells are prose there, and everything else works without"
        " it. Its settings and shortcuts are in Settings → Settings Editor → FlowGPT.",
        (
            ("Ctrl+Shift+Enter, or the chat icon on the right", "the panel of the notebook in front, and back to it"),
            ("Alt+Shift+Q, Alt+Shift+E", "ask about the selection or cell; explain it"),
            ("Alt+Shift+F, or Fix below an error", "a correction as a difference, to apply or to discard"),
            ("Alt+Shift+M, Alt+Shift+S", "run the prompt with another model; stop the replies"),
            ("P, Shift+P in command mode", "turn the cell into a prompt, and back"),
            ("paste or drop a picture or a file", "into a prompt cell or into the panel"),
            ("jupyter labextension disable flowgpt_magic", "switch the extension off"),
        ),
        ("%flowgpt panel", "%flowgpt explain frame"),
    ),
    "gateway": Topic(
        "One machine with the model, many notebooks without",
        "The gateway speaks the FlowGPT protocol in front of any provider. Notebooks set ``FLOWGPT_BASE_URL`` to the"
        " address that it prints, and ``FLOWGPT_TOKEN`` if it asks for one.",
        (
            ("python -m flowgpt_magic.gateway --model local", "for this machine"),
            ("… --host 0.0.0.0, with FLOWGPT_GATEWAY_TOKEN", "for others, with a token"),
            ("python -m flowgpt_magic.gateway --help", "its limits"),
        ),
        (
            'from flowgpt_magic import gateway\nserver = gateway.start("echo")\nserver.stop()',
            "from flowgpt_magic import gateway\n"
            'server = gateway.start("echo")\n'
            "%config FlowGPT.base_url = server.url\n"
            "%flowgpt flowgpt Say hello.\n"
            "server.stop()",
        ),
    ),
    "plug-ins": Topic(
        "Write a provider",
        "A provider is a class with one method, an async generator of text. A package names it under the entry point"
        " ``flowgpt_magic.providers``; then ``%%flowgpt NAME`` uses it.",
        (
            ("AsyncGeneratorProvider, ProviderModelMixin", "the base classes, in flowgpt_magic"),
            ("create_async_generator(model, messages, …)", "yields the text; after it one Extras and one Usage"),
            ("check_provider(Shout, name=…)", "in flowgpt_magic.testing: checks the contract"),
        ),
        (
            "from flowgpt_magic import AsyncGeneratorProvider, ProviderModelMixin\n\n"
            "class Shout(AsyncGeneratorProvider, ProviderModelMixin):\n"
            '    default_model = "loud"\n'
            '    models = ["loud"]\n\n'
            "    @classmethod\n"
            "    async def create_async_generator(cls, model, messages, proxy=None, temperature=0.7, **kwargs):\n"
            '        for word in messages[-1]["content"].upper().split():\n'
            '            yield f"{word} "\n\n'
            'Shout.create_completion("loud", [{"role": "user", "content": "Say hello."}])',
            "%flowgpt providers",
        ),
    ),
}
