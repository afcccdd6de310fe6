"""The models on disk."""

from __future__ import annotations

import json

import pytest

from flowgpt_magic.errors import ModelNotSupportedError
from flowgpt_magic.providers.llama_cpp import installed
from flowgpt_magic.providers.llama_cpp.installed import InstalledModel


def put(name: str, *files: str) -> InstalledModel:
    """A model that is installed."""
    model = InstalledModel(name, "owner/repo", files or ("m.gguf",), 4, "mit")
    installed.folder_of(name).mkdir(parents=True)
    for file in model.files:
        (installed.folder_of(name) / file).write_bytes(b"GGUF")
    installed.add(model)
    return model


def test_models_are_found_by_name_and_listed() -> None:
    assert list(installed.all_models()) == []

    models = [put("b"), put("a", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf")]

    assert list(installed.all_models()) == models[::-1]
    assert installed.find("b") == models[0]
    assert models[1].path.name == "m-00001-of-00002.gguf"
    assert installed.find("c") is None


@pytest.mark.parametrize("damage", ["no record", "no JSON", "another shape", "no files", "a part is missing"])
def test_a_model_that_is_not_whole_is_none(damage: str) -> None:
    put("a", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf")
    folder = installed.folder_of("a")
    record = folder / installed.RECORD
    if damage == "no record":
        record.unlink()
    elif damage == "no JSON":
        record.write_text("{")
    elif damage == "another shape":
        record.write_text("[1]")
    elif damage == "no files":
        record.write_text(json.dumps({"repository": "", "files": [], "size": 1, "licence": ""}))
    else:
        (folder / "m-00002-of-00002.gguf").unlink()

    assert installed.find("a") is None
    assert list(installed.all_models()) == []


def test_a_record_leads_to_no_file_outside_of_its_folder() -> None:
    put("a")
    record = installed.folder_of("a") / installed.RECORD
    record.write_text(json.dumps({"repository": "", "files": ["../../../x/m.gguf"], "size": 1, "licence": ""}))

    model = installed.find("a")

    assert model is not None
    assert model.path.parent == installed.folder_of("a")


def test_a_removed_model_is_gone_and_an_unfinished_one_too() -> None:
    put("a")
    (installed.folder_of("a") / "x.part").write_bytes(b"12345")

    assert installed.remove("a") > 9
    assert not installed.folder_of("a").exists()


@pytest.mark.parametrize("name", ["modle", "", "..", "../models", "a/b", "/"])
def test_what_is_not_there_cannot_be_removed(name: str) -> None:
    put("model")

    with pytest.raises(ModelNotSupportedError, match=r"there is no installed model.*Installed: model"):
        installed.remove(name)
    assert installed.find("model")


def test_the_name_of_a_file_becomes_the_name_of_a_model() -> None:
    assert installed.fit_name("Model-7B Instruct (v2)_Q4_K_M") == "model-7b-instruct-v2-_q4_k_m"
    assert installed.fit_name("../..") == "model"
    assert all(installed.NAME.fullmatch(installed.fit_name(text)) for text in ("Ä", "", "-x-", "_x", "x" * 300))
