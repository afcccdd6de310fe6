"""What is a schema and what is none, and which value a reply holds."""

from __future__ import annotations

import dataclasses
import json
import sys
import typing
from typing import Literal, TypedDict

import pydantic
import pytest
from hypothesis import strategies as st

from flowgpt_magic.errors import MismatchError, NotInstalledError, SchemaError
from flowgpt_magic.markdown.json_text import values_in
from flowgpt_magic.replies.schema import json_of, read_schema_file, schema_of


class City(pydantic.BaseModel):
    name: str
    people: int


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Tagged(TypedDict, total=False):
    tag: str
    points: list[Point]


NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class TestWhatIsASchema:
    @pytest.mark.parametrize(
        ("given_schema", "text", "value"),
        [
            (City, '{"name": "Oslo", "people": 7}', City(name="Oslo", people=7)),
            (Point, '{"x": 1}', Point(1, 0)),
            (list[Point], '[{"x": 1}, {"x": 2, "y": 3}]', [Point(1), Point(2, 3)]),
            (Literal["good", "bad"], '"good"', "good"),
            (NUMBER, '{"n": 3}', {"n": 3}),
            ({}, "[1, 2]", [1, 2]),
        ],
        ids=["model", "dataclass", "list", "literal", "JSON Schema", "anything"],
    )
    def test_a_value_that_fits_is_returned_as_its_type(self, given_schema, text, value):
        assert schema_of(given_schema).read(text) == value

    def test_a_typed_dict_is_one_on_every_python(self):
        schema = schema_of(Tagged)

        assert schema.read('{"points": [{"x": 1}]}') == {"points": [Point(1)]}
        assert schema_of(list[Tagged]).read('[{"tag": "a"}]') == [{"tag": "a"}]
        assert "required" not in schema.json_schema

    @pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic takes every TypedDict from 3.12 on")
    def test_the_keys_of_a_typed_dict_that_must_be_there_stay_so(self):
        kind = typing.TypedDict("kind", {"there": int})  # noqa: UP013 - made as an old notebook makes it

        with pytest.raises(MismatchError, match="there: Field required"):
            schema_of(kind).read("{}")

    def test_a_schema_is_taken_as_it_is(self):
        schema = schema_of(City)

        assert schema_of(schema) is schema

    @pytest.mark.parametrize(
        ("bad", "why"),
        [
            (3, "not int"),
            ("City", "not str"),
            (City(name="a", people=1), "give the class City itself"),
            (Point(1), "give the class Point itself"),
            ({"name": "Oslo"}, "it has none of"),
            ({"type": "banana"}, "at type: 'banana'"),
            ({"type": "object", "properties": {"n": {"$ref": "http://127.0.0.1:1/x"}}}, "which is not fetched"),
            ({"type": {1, 2}}, "not JSON serializable"),
            (type("Odd", (), {}), "Odd cannot be a schema"),
            (None, "not NoneType"),
        ],
        ids=str,
    )
    def test_what_is_no_schema_is_one_clear_error(self, bad, why):
        with pytest.raises(SchemaError, match=why):
            schema_of(bad)

    def test_a_reference_within_the_schema_is_followed(self):
        schema = schema_of({"$defs": {"n": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/n"}})

        assert schema.read("[1]") == [1]
        with pytest.raises(MismatchError, match="at 0: 'a' is not of type 'integer'"):
            schema.read('["a"]')

    def test_a_reference_to_nothing_is_named(self):
        with pytest.raises(SchemaError, match="#/\\$defs/gone, which it does not contain"):
            schema_of({"type": "array", "items": {"$ref": "#/$defs/gone"}})

    @pytest.mark.parametrize(("wanted", "library"), [(City, "pydantic"), (NUMBER, "jsonschema")])
    def test_a_missing_library_is_named_with_the_command(self, wanted, library, monkeypatch):
        monkeypatch.setitem(sys.modules, library, None)

        with pytest.raises(NotInstalledError, match=rf"{library}: .*pip install .*\[schema\]\S* installs it\.$"):
            schema_of(wanted)

    @pytest.mark.parametrize(("wanted", "composite"), [(City, True), (list[int], True), (Literal["a"], False)])
    def test_it_says_whether_the_value_is_an_object_or_a_list(self, wanted, composite):
        assert schema_of(wanted).composite is composite


class TestAFile:
    def test_the_schema_in_it_is_used(self, tmp_path):
        (tmp_path / "n.json").write_text(json.dumps(NUMBER))

        assert read_schema_file(str(tmp_path / "n.json")).read('{"n": 1}') == {"n": 1}

    @pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[1]", b""])
    def test_what_is_no_schema_is_one_clear_error(self, tmp_path, content):
        (tmp_path / "n.json").write_bytes(content)

        with pytest.raises(SchemaError):
            read_schema_file(str(tmp_path / "n.json"))

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(SchemaError, match=r"gone\.json cannot be read: No such file"):
            read_schema_file(str(tmp_path / "gone.json"))


class TestTheValueInAText:
    @pytest.mark.parametrize(
        "text",
        [
            '{"n": 3}',
            'Here you are:\n\n```json\n{"n": 3}\n```\nAnything else?',
            'I think it is {"n": 3}, is it not? {"n": "no"}',
            'First {"m": 1}, then {"n": 3}.',
            '```\nno\n```\n```json\n{"n": 3}\n```',
            '{oops {"n": 3}',
            '\ufeff {"n": 3}\n',
        ],
    )
    def test_it_is_found_alone_in_a_fence_and_in_prose(self, text):
        assert schema_of(NUMBER).read(text) == {"n": 3}

    @pytest.mark.parametrize("text", ["good", " good.\n", "`good`", '"good"', "**good**"])
    def test_a_word_of_a_list_needs_no_quotes(self, text):
        assert schema_of(Literal["good", "bad"]).read(text) == "good"

    def test_what_does_not_fit_says_where(self):
        with pytest.raises(MismatchError, match="at name: Field required; at people: Input should be a valid integer"):
            schema_of(City).read('{"people": "many"}')

    def test_of_several_that_do_not_fit_the_likeliest_says_where(self):
        first, *_rest, last = values_in(text := 'First {"people": 1}, then {"name": "Bern"}.')
        assert (first, last) == ({"name": "Bern"}, {"people": 1})

        with pytest.raises(MismatchError, match=r"^at people: Field required\.$"):
            schema_of(City).read(text)

    @pytest.mark.parametrize("text", ["", "no JSON here at all", "{", "[1, 2"])
    def test_where_there_is_none_it_does_not_fit(self, text):
        with pytest.raises(MismatchError):
            schema_of(City).read(text)


def test_without_a_schema_the_value_is_the_json_in_the_text():
    assert json_of('So: {"a": [1]}') == {"a": [1]}
    assert json_of("3") == 3
    with pytest.raises(MismatchError, match="no JSON in the reply; schema= asks for some"):
        json_of("nothing")
