"""What is written down has no keys, tokens and passwords in it, and everything else."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowgpt_magic.redaction import (
    MAX_PARAMETER_DEPTH,
    is_environment_secret,
    is_secret_file,
    is_secret_name,
    redact,
    redact_environment,
    without_addresses,
    without_secrets,
)
from flowgpt_magic.settings import TABLE
from tests.secret_names import HARMLESS_NAMES, SECRET_NAMES

SECRET = "s3cr3t-v4lue"

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@st.composite
def hidden(draw):
    """Parameters with a secret in them, somewhere."""
    harmless = ("by", "com", "sur", "low", "o")  # before "pass" or "key"
    before = draw(st.text(max_size=3).filter(lambda text: not text.lower().endswith(harmless)))
    found = {before + draw(st.sampled_from(SECRET_NAMES)): draw(st.just(SECRET) | secret_holders)}
    for _level in range(draw(st.integers(0, MAX_PARAMETER_DEPTH + 5))):
        wrap = draw(st.sampled_from(["mapping", "list", "tuple"]))
        found = {"mapping": {"options": found, "n": 1}, "list": {"all": [1, found]}, "tuple": {"all": (found,)}}[wrap]
    return found


secret_holders = st.sampled_from([[SECRET], {"value": SECRET}, (SECRET, 1), f"Bearer {SECRET}", SECRET.encode()])


class TestNames:
    @pytest.mark.parametrize("name", SECRET_NAMES)
    def test_names_of_secrets_are_known_in_capitals_too(self, name):
        assert is_secret_name(name)
        assert is_secret_name(name.upper()) or name.upper() == "PWD"

    @pytest.mark.parametrize("name", HARMLESS_NAMES)
    def test_a_name_that_only_has_the_letters_of_one_is_harmless(self, name):
        assert not is_secret_name(name)

    def test_there_are_names_enough_of_both_kinds(self):
        assert len({*SECRET_NAMES}) == len(SECRET_NAMES) >= 60 <= len(HARMLESS_NAMES) == len({*HARMLESS_NAMES})

    def test_the_settings_that_are_secret_have_secret_names(self):
        by_name = {name for name in TABLE if is_secret_name(name)}

        assert by_name == {name for name in TABLE if TABLE[name].metadata["secret"]} | {
            "openai_key",
            "anthropic_key",
            "client_key",
        }
        assert without_secrets({"openai_key": "MY_KEY", "client_key": "a.pem"}) == {
            "openai_key": "MY_KEY",
            "client_key": "a.pem",
        }


class TestFiles:
    @pytest.mark.parametrize(
        "name",
        [
            *(".env", ".env.local", "id_rsa", "id_ed25519", "server.pem", "my.KEY", "credentials", "credentials.json"),
            *("Credentials.csv", ".netrc", "secrets.toml", "cert.p12"),
        ],
    )
    def test_a_file_of_secrets_is_known_by_its_name(self, name, tmp_path):
        assert is_secret_file(tmp_path / name)

    @pytest.mark.parametrize("name", ["id_rsa.pub", "environment.yml", "keynote.txt", "env", "a.keys", "notes.md"])
    def test_another_file_is_none(self, name, tmp_path):
        assert not is_secret_file(tmp_path / name)

    def test_a_link_to_a_file_of_secrets_is_one(self, tmp_path):
        (tmp_path / ".env").write_text("A=1")
        (tmp_path / "notes.txt").symlink_to(tmp_path / ".env")

        assert is_secret_file(tmp_path / "notes.txt")


class TestParameters:
    @settings(deadline=None)
    @given(hidden())
    @example({"Apass": SECRET})
    def test_no_secret_survives_at_any_depth(self, parameters):
        assert SECRET not in json.dumps(without_secrets(parameters))

    @pytest.mark.parametrize("name", SECRET_NAMES)
    def test_what_is_named_like_a_secret_is_left_out(self, name):
        assert without_secrets({name: SECRET, "kept": {name: SECRET}, "n": 1}) == {"kept": {}, "n": 1}

    @pytest.mark.parametrize("name", HARMLESS_NAMES)
    def test_what_only_sounds_alike_is_kept(self, name):
        assert without_secrets({name: 3}) == {name: 3}

    def test_of_the_settings_those_that_are_secret_are_left_out(self):
        names = dict.fromkeys(TABLE, 1)

        kept = without_secrets(names)

        assert {"token", "proxy"} == set(names) - set(kept)

    def test_a_number_of_tokens_is_no_secret_and_a_text_under_that_name_may_be_one(self):
        assert without_secrets({"max_new_tokens": 5, "tokens": SECRET}) == {"max_new_tokens": 5}

    def test_of_headers_those_are_kept_that_name_the_variable_of_what_is_secret(self):
        headers = {"api-key": "$GATE", "X-Token": SECRET, "X-Title": "mine", "Referer": f"https://me:{SECRET}@host"}

        for parameters in ({"extra_headers": headers}, {"params": {"extra_headers": headers}}):
            kept = without_secrets(parameters)
            assert kept.get("params", kept) == {
                "extra_headers": {"api-key": "$GATE", "X-Title": "mine", "Referer": "https://***@host"}
            }

    def test_urls_lose_their_user_and_password(self):
        kept = without_secrets({"hosts": [{"url": f"https://me:{SECRET}@host/v1"}]})

        assert kept == {"hosts": [{"url": "https://***@host/v1"}]}

    @settings(deadline=None)
    @given(st.dictionaries(st.text(max_size=6), values, max_size=4))
    def test_whatever_they_are_the_result_is_json(self, parameters):
        kept = without_secrets(parameters)

        assert json.loads(json.dumps(kept)).keys() == kept.keys()

    def test_a_value_that_json_does_not_have_is_there_as_its_type(self):
        assert without_secrets({"seed": b"x", "at": time.gmtime, "set": {1}}) == {
            "seed": "<bytes>",
            "at": "<builtin_function_or_method>",
            "set": "<set>",
        }

    def test_a_value_that_holds_itself_ends(self):
        endless: list[object] = [1]
        endless.append(endless)

        kept = json.dumps(without_secrets({"endless": endless}))

        assert kept.count("[") == MAX_PARAMETER_DEPTH
        assert "<list>" in kept

    def test_the_parameters_themselves_stay_as_they_are(self):
        parameters = {"headers": {"cookie": SECRET, "accept": "x"}}

        without_secrets(parameters)

        assert parameters == {"headers": {"cookie": SECRET, "accept": "x"}}


class TestText:
    @pytest.mark.parametrize(
        ("text", "kept"),
        [
            (f"http://me:{SECRET}@host:8080/x", "http://***@host:8080/x"),
            (f"http://me:p@{SECRET}@host/x", "http://***@host/x"),
            (f"http://me:#{SECRET}?@host", "http://***@host"),
            (f"no http://{SECRET}@a and socks5h://u:{SECRET}@b", "no http://***@a and socks5h://***@b"),
            (f"https://host/?api_key={SECRET}&q=1", "https://host/?api_key=***&q=1"),
            (f"https://host/?q=1&access_token={SECRET} failed", "https://host/?q=1&access_token=*** failed"),
            (f"https://host/?auth={SECRET}#top", "https://host/?auth=***#top"),
            (f"https://host/#access_token={SECRET}&x=1", "https://host/#access_token=***&x=1"),
            (f"https://host/?next=https://other/?token={SECRET}", "https://host/?next=https://other/?token=***"),
            (f"https://host/?token={SECRET}?{SECRET}", "https://host/?token=***"),
        ],
    )
    def test_urls_keep_all_but_their_secrets(self, text, kept):
        assert redact(text) == kept

    @pytest.mark.parametrize(
        "text",
        [
            "mail me@example.org",
            "https://host/@user/file",
            "https://host/?q=keys&n=1",
            "the key = 5",
            "a ? b : c",
            "http://host\nme@example.org",
        ],
    )
    def test_text_without_secrets_is_the_same(self, text):
        assert redact(text) == text

    @settings(deadline=None)
    @given(
        st.text(max_size=10),
        st.sampled_from(["http", "https", "socks5"]),
        st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="/"), max_size=8),
        st.text(max_size=10),
    )
    @example("", "http", "@", "")
    @example("", "http", "#", "")
    def test_no_password_survives_whatever_signs_are_in_it(self, before, scheme, signs, after):
        text = f"{before}{scheme}://me:{signs}{SECRET}{signs}@host/{after}"

        assert SECRET not in redact(text)

    @pytest.mark.parametrize("part", ["?", "?key", "&key=", "://", "://@", "#a=?", "key"])
    def test_a_long_text_takes_no_longer_for_each_character(self, part):
        # It was four seconds and more where each character made it go back over those before it.
        begun = time.process_time()

        redact("?" + part * 20_000)

        assert time.process_time() - begun < 2


# Secrets by their form. They are put together here, so that nobody takes this file for one that leaks them.
FORMS = [
    "ghp_" + "SEKRET5x",
    "github_pat_" + "11ABCDEFG0" + "_abcdefghijk",
    "glpat-" + "abcdefghij0123456789",
    "xoxb-" + "123456789012-abcdef",
    "hooks.slack.com/services/" + "T0/B0/abcdef",
    "discord.com/api/webhooks/" + "123/abc-def",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJ" + "zdWIiOiIxMjM0In0" + ".abc-_1",
    "sk-" + "proj-abcdefghijklmnop1234",
    "sk_live_" + "abcdefghij0123456789",
    "hf_" + "abcdefghijklmnopqrst",
    "gsk_" + "abcdefghijklmnopqrstu",
    "AIza" + "SyA-abcdefghijklmnopqrstuvwxyz0123456",
    "npm_" + "abcdefghijklmnopqrstuvwxyz0123",
    "SG." + "abcdefghijklmnopqrst" + ".abcdefgh",
    "AccountKey=" + "abcdefghijklmnopqrstuv/+==",
]
PGP = "-----END PGP PRIVATE" + " KEY BLOCK-----"
# What is said to be a secret, and what stays of it.
ASSIGNED = [
    ("see anna:{}@db.example.org:5432/x", "pa55word", "see ***@db.example.org:5432/x"),
    ("//anna:{}@db.example.org", "geheim", "//***@db.example.org"),
    (f"{PGP.replace('END', 'BEGIN')}\nVersion: 1-2\n\n{{}}\n{PGP}", "abcdef", f"{PGP.replace('END', 'BEGIN')}***"),
    ("host=db password={} dbname=x", "swordfish", "host=db password=*** dbname=x"),
    ("Server=x;Pwd={};", "swordfish", "Server=x;Pwd=***;"),
    ("password: {}", "hunter2", "password: ***"),
    ('{{"password": "{}", "n": 1}}', "sword fish", '{"password": "***", "n": 1}'),
    ('{{\\"password\\": \\"{}\\", \\"n\\": 1}}', "swordfish", '{\\"password\\": \\"***\\", \\"n\\": 1}'),
    ("{{b'password': b'{}'}}", "swordfish", "{b'password': b'***'}"),
    ("password='{}'", 'a"b', "password='***'"),
    ("export DB_PASSWORD={}", "swordfish", "export DB_PASSWORD=***"),
    ("aws_secret_access_key = {}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCY", "aws_secret_access_key = ***"),
    ("api-key: {}", "abcdef123456", "api-key: ***"),
    ("client_secret='{}'", "abcdefghijkl", "client_secret='***'"),
    ("access_token={}&x=1", "abcdef123456", "access_token=***&x=1"),
]
HARMLESS_CODE = [
    "password: str = None",
    "password = getpass('Password: ')",
    "connect(password=pw, user=user)",
    "self.password = password",
    "password=os.environ['PASSWORD']",
    "password=$PASSWORD token=${TOKEN}",
    "if password == 'x'[0]:",
    "token=None, max_tokens=512, next(token)",
    "sorted(words, key=len)",
    "api_key=keys['openai_1']",
    "mail to:anna@example.org or mailto:anna1@example.org",
    "at 12:30@cafe.example.org",
    "git@github.com:anna/x.git",
    "the password is wrong: try again",
]
HARMLESS_TEXTS = [
    "task-force-of-the-month-is-here",
    "risk-averse-investors-win-again",
    "a bearer of understanding-of-things",
    "basic understanding-of-things-2",
    "https://example.org/path@2x.png",
    "mail me@example.org",
    "eyJ",
    "AKIASHORT",
    "hf_model",
    "sk-learn",
]


class TestForms:
    @pytest.mark.parametrize("secret", FORMS)
    @pytest.mark.parametrize("around", ["{}", "x = '{}'", "see {}, please", "https://x.org/{}", "a\n{}\nb"])
    def test_a_secret_of_a_known_form_is_hidden_and_its_surroundings_stay(self, secret, around):
        found = redact(around.format(secret))

        before, after = around.split("{}")
        assert found.startswith(before)
        assert found.endswith(f"***{after}")
        assert secret[-6:] not in found

    @pytest.mark.parametrize("text", HARMLESS_TEXTS)
    def test_what_only_looks_alike_is_kept(self, text):
        assert redact(text) == text

    @pytest.mark.parametrize("header", ["Authorization: Bearer {}", "authorization: bearer {}", "'Bearer {}'"])
    def test_a_header_with_a_token_is_hidden(self, header):
        assert redact(header.format("abcdefghijklmnop1")) == header.format("***")

    @pytest.mark.parametrize(("text", "secret", "kept"), ASSIGNED)
    def test_what_is_said_to_be_a_secret_is_hidden(self, text, secret, kept):
        assert redact(text.format(secret)) == kept

    @pytest.mark.parametrize("text", HARMLESS_CODE)
    def test_code_that_reads_a_secret_from_elsewhere_is_kept(self, text):
        assert redact(text) == text

    @given(st.lists(st.sampled_from([*"a1:=@'\"\\ ", "password", "token", "://", "b.c", "***", "sk-"]), max_size=14))
    def test_masking_twice_is_masking_once_whatever_stands_beside_a_name(self, parts):
        once = redact("".join(parts))

        assert redact(once) == once

    def test_a_private_key_is_hidden_also_where_its_end_is_cut_off(self):
        begin, end = "-----BEGIN RSA PRIVATE" + " KEY-----", "-----END RSA PRIVATE" + " KEY-----"

        assert redact(f"a {begin}\nabc\n{end} b") == f"a {begin}*** b"
        assert redact(f"a {begin}\nabc") == f"a {begin}***"

    @given(st.text())
    def test_masking_twice_is_masking_once(self, text):
        once = redact(text)

        assert redact(once) == once

    @pytest.mark.parametrize(
        "part",
        [
            "eyJ",
            "-eyJ",
            "_eyJaaaaaaaa.eyJ",
            "?key",
            "?key=a",
            "http://a@",
            "sk-",
            "SG.",
            "gh",
            "Bearer ",
            "&token",
            "password=",
            "a:",
            "a:1@b.",
            "token='",
            "pwd: ",
        ],
    )
    def test_a_long_text_of_beginnings_costs_little(self, part):
        begun = time.process_time()
        redact(part * (100_000 // len(part)))

        assert time.process_time() - begun < 1


class TestTheEnvironment:
    def test_values_of_variables_with_secret_names_are_hidden_in_any_text(self):
        environ = {"MY_API_KEY": "correct horse", "SHORT_KEY": "abc", "HOST": "example.org"}

        assert redact_environment("a correct horse, abc, example.org", environ) == "a ***, abc, example.org"

    @pytest.mark.parametrize(
        ("value", "secret"),
        [
            ("a1b2c3d4e5f6a7b8", True),
            ("Zm9vYmFyMTIz+/==", True),
            ("example.org", False),
            ("/usr/lib/python3.11/x", False),
            ("2026-11-30T10:00", False),
            ("short1", False),
            ("a_long_name_without_figures", False),
            ("1234567890123456", False),
        ],
    )
    def test_a_value_that_looks_like_a_key_is_secret_under_any_name(self, value, secret):
        assert is_environment_secret("ANY", value, {"ANY": value}) is secret
        assert not is_environment_secret("ANY", value, {"ANY": "another"})
        assert not is_environment_secret("OTHER", value, {"ANY": value})


HARMLESS_WORDS = """
monkey keyword primary-colour tokens-per-second turkey whiskey hockey skip sketch desk-lamp task-force disk-usage
risk-free mask-rcnn basket-ball ask-me eye-test hf_hub asia-pacific ASIAN AKIA-like xoxo sk-learn ghost github_patch
glpath npm_install pypi-mirror SG.name dapir AIzawa ya29 gsk_ r8 xaide pplx bearer Bearer basic Basic-English
https://example.org/a?page=2 https://example.org/a?sort=name http://127.0.0.1:8765/v1 mailto:anna@example.org
anna@example.org user@host:path 2024-01-01T00:00:00 3fa85f64 f81d4fae-7dec-11d0 gpt-4o-mini claude-3-5-sonnet-20241022
meta-llama/Llama-3.1-8B max_tokens=5 temperature=0.7 /home/anna/notes.md C:\\notes.md a@b x://y :// @ = eyJ eyes sk-
""".split()  # noqa: SIM905


@pytest.mark.parametrize("text", HARMLESS_WORDS)
def test_a_harmless_text_stays_as_it_is(text):
    assert redact(text) == text
    assert redact(f"see {text}, please") == f"see {text}, please"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("gate.example:8000 refused the connection.", "the server refused the connection."),
        ("api.openai.com answered 401: set OPENAI_API_KEY first", "the server answered 401: set a key first"),
        ("no connection to http://me@gpu-box:8000/v1: refused", "no connection to the server: refused"),
        ("no connection to 127.0.0.1:9 (refused)", "no connection to the server (refused)"),
        ("again: [::1]:80 failed; gpu-box, localhost too", "again: the server failed; the server, the server too"),
        ("${GATE_KEY} and $MY_TOKEN are empty", "a key and a key are empty"),
    ],
)
def test_a_message_for_others_names_no_server_and_no_variable_of_a_key(message, expected):
    assert without_addresses(message, ["https://gpu-box:9/v1"]) == expected


@pytest.mark.parametrize(
    "message",
    [
        *("history_tokens = 2000 and MAX_ROWS", "frame.head(3) sent as typed", "at 12:30:45 it failed", "a.py:12: no"),
        *("echo:words, llama3:70b-q4 and qwen2.5:14b", "see history.sqlite3", "pandas.io.parsers", "1.5 s · 20:30"),
    ],
)
def test_other_words_of_a_message_stay(message):
    assert without_addresses(message) == message


def test_a_long_word_is_no_trouble_for_the_search_for_addresses():
    begun = time.perf_counter()

    without_addresses("a-" * 50_000 + "b." * 50_000 + "A_" * 50_000)

    assert time.perf_counter() - begun < 5
