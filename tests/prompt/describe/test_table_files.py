"""Excel workbooks and Parquet files."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowgpt_magic.prompt.attachments import Attachment, attach
from flowgpt_magic.prompt.describe import problems
from flowgpt_magic.prompt.describe.problems import AttachmentError
from tests.described import TIMES
from tests.prompt.describe.test_documents import missing


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one(spec: str, budget: int = 1_000) -> Attachment:
    (attachment,) = attach([spec], {}, budget=budget)
    return attachment


class TestParquet:
    @pytest.fixture(autouse=True, params=["polars", "pyarrow"])
    def _library(self, request, monkeypatch) -> None:
        if request.param == "pyarrow":
            monkeypatch.delitem(sys.modules, "polars", raising=False)
        else:
            import polars  # noqa: F401 - loaded, as by the user

    def test_it_is_its_columns_and_first_rows(self, folder):
        pq.write_table(pa.table({"town": ["Oslo", "Bergen", None], "size": [1.5, 2.0, 3.0]}), folder / "towns.parquet")

        attachment = one("towns.parquet")

        lines = attachment.text.split("\n")
        assert lines[0] == f"towns.parquet: Parquet file towns.parquet, 3 rows {TIMES} 2 columns"
        assert lines[1:3] == ["| column | type | missing |", "| --- | --- | --- |"]
        assert lines[3].lower() in ("| town | string | 1 |",)
        assert lines[5:] == [
            "",
            "First 3 rows:",
            "",
            "| town | size |",
            "| --- | --- |",
            "| Oslo | 1.5 |",
            "| Bergen | 2 |",
            "| None | 3 |",
        ]
        assert attachment.about == f"towns.parquet (3 {TIMES} 2)"

    def test_a_long_one_is_read_in_part(self, folder):
        pq.write_table(pa.table({"number": list(range(5_000))}), folder / "long.parquet")

        text = one("long.parquet").text

        assert "Missing values are those of the first 1,000 rows." in text
        assert text.endswith("… 4,990 of 5,000 rows are not shown")

    def test_a_column_of_secrets_is_masked(self, folder):
        pq.write_table(pa.table({"password": ["h0rse", None], "n": [1, 2]}), folder / "p.parquet")

        assert "h0rse" not in one("p.parquet").text
        assert "| *** | 1 |" in one("p.parquet").text

    def test_one_without_rows_or_columns_is_described(self, folder):
        pq.write_table(pa.table({"a": pa.array([], pa.int64())}), folder / "none.parquet")

        assert "| a | int64 | 0 |" in one("none.parquet").text.lower()

    @pytest.mark.parametrize("content", [b"", b"text", b"PAR1 broken PAR1"])
    def test_a_broken_one_is_refused(self, folder, content):
        (folder / "broken.parquet").write_bytes(content)

        with pytest.raises(AttachmentError, match=r"broken\.parquet cannot be read as a Parquet file"):
            one("broken.parquet")


def test_without_a_library_a_parquet_file_is_refused(folder, monkeypatch):
    pq.write_table(pa.table({"a": [1]}), folder / "a.parquet")
    monkeypatch.setattr(problems, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "polars", raising=False)

    with pytest.raises(AttachmentError, match=r"pyarrow or polars is needed to read it: .* pyarrow installs one"):
        one("a.parquet")


class TestWorkbook:
    @pytest.fixture(autouse=True)
    def _book(self, folder) -> None:
        book = openpyxl.Workbook()
        sheet = book.active
        sheet.title = "Sales"
        for row in (["day", "price", None], [datetime(2026, 1, 2), 3, "x"], [datetime(2026, 1, 3), 2.5, None]):
            sheet.append(row)
        other = book.create_sheet("Long")
        other.append(["number"])
        for number in range(3_000):
            other.append([number])
        book.create_sheet("Nothing")
        book.save(folder / "book.xlsx")

    def test_it_is_the_columns_and_first_rows_of_its_sheets(self):
        attachment = one("book.xlsx")

        assert f"Sheet 'Sales', 2 rows {TIMES} 3 columns:\n| column | type | missing |" in attachment.text
        assert "| day | datetime | 0 |\n| price | float or int | 0 |\n| column 3 | str | 1 |" in attachment.text
        assert "| 2026-01-02 00:00:00 | 3 | x |" in attachment.text
        assert f"Sheet 'Long', 3,000 rows {TIMES} 1 column:" in attachment.text
        assert f"Sheet 'Nothing', 0 rows {TIMES} 0 columns:" in attachment.text
        assert attachment.text.endswith("… 2,990 of 3,000 rows of 'Long' are not shown")
        assert attachment.about == "book.xlsx (3 sheets)"

    def test_without_its_library_it_is_refused(self, monkeypatch):
        missing(monkeypatch, "openpyxl")

        with pytest.raises(AttachmentError, match=r"openpyxl is needed to read it: .*\[files\].* installs it"):
            one("book.xlsx")

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"a,b\n1,2"])
    def test_a_broken_one_is_refused(self, folder, content):
        (folder / "broken.xlsx").write_bytes(content)

        with pytest.raises(AttachmentError, match=r"broken\.xlsx cannot be read as a workbook"):
            one("broken.xlsx")
