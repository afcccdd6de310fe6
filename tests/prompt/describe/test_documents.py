"""PDF files and Word documents."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import docx
import pypdf
import pytest
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from flowgpt_magic.prompt.attachments import Attachment, attach, describe
from flowgpt_magic.prompt.describe import documents, problems
from flowgpt_magic.prompt.describe.problems import AttachmentError


def write_pdf(path: Path, texts: list[str], password: str = "") -> None:
    """A PDF file with one page for each text."""
    writer = pypdf.PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    for text in texts:
        page = writer.add_blank_page(200, 200)
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 12 Tf 10 100 Td ({text}) Tj ET".encode("latin-1"))
        page[NameObject("/Contents")] = writer._add_object(content)
        fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    with path.open("wb") as file:
        writer.write(file)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one(spec: str, budget: int = 500) -> Attachment:
    (attachment,) = attach([spec], {}, budget=budget)
    return attachment


def missing(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """As if ``module`` were not installed."""
    monkeypatch.setattr(problems, "find_spec", lambda name: None if name == module else object())
    monkeypatch.setitem(sys.modules, module, None)


class TestPdf:
    @pytest.fixture(autouse=True)
    def _report(self, folder) -> None:
        write_pdf(folder / "report.pdf", [f"Text of leaf {number}" for number in range(1, 21)])

    def test_it_is_the_text_of_its_pages(self):
        attachment = one("report.pdf")

        assert attachment.text.startswith("report.pdf: PDF file report.pdf, 20 pages\n```\nPage 1:\nText of leaf 1\n\n")
        assert attachment.text.endswith("Page 20:\nText of leaf 20\n```")
        assert attachment.about == "report.pdf, 20 pages"

    @pytest.mark.parametrize(
        ("pages", "words", "first", "last"),
        [
            ("3", "page 3 of 20", 3, 3),
            ("3-5", "pages 3 to 5 of 20", 3, 5),
            ("19-", "pages 19 to 20 of 20", 19, 20),
            ("18-99", "pages 18 to 20 of 20", 18, 20),
        ],
    )
    def test_pages_can_be_chosen(self, pages, words, first, last):
        attachment = one(f"report.pdf#{pages}")

        assert attachment.about == f"report.pdf#{pages}, {words}"
        assert f"```\nPage {first}:" in attachment.text
        assert attachment.text.endswith(f"Text of leaf {last}\n```")
        assert attachment.text.count("leaf") == last - first + 1

    @pytest.mark.parametrize(
        ("pages", "said"),
        [
            ("x", "pages are written as report.pdf#3, report.pdf#3-5"),
            ("", "pages are written as report.pdf#3, report.pdf#3-5"),
            ("5-3", "the first page comes before the last one"),
            ("0", "pages are counted from 1"),
            ("21", "report.pdf has 20 pages"),
        ],
    )
    def test_pages_that_do_not_exist_are_refused(self, pages, said):
        with pytest.raises(AttachmentError, match=said):
            one(f"report.pdf#{pages}")

    def test_pages_of_another_file_are_refused(self, folder):
        (folder / "notes.txt").write_text("x")

        with pytest.raises(AttachmentError, match="pages can be chosen only of a PDF file"):
            one("notes.txt#3")

    def test_a_long_one_says_which_pages_are_sent(self, folder):
        write_pdf(folder / "long.pdf", ["many words " * 60] * 30)

        attachment = one("long.pdf", budget=600)

        assert attachment.about.startswith("long.pdf, pages 1 to ")
        assert "of 30 pages" in attachment.text.rpartition("\n")[2]

    def test_without_its_library_it_is_refused_with_the_command_that_installs_it(self, monkeypatch):
        missing(monkeypatch, "pypdf")

        with pytest.raises(AttachmentError, match=r"pypdf is needed to read it: .* install .*\[files\].* installs it"):
            one("report.pdf")

    def test_an_encrypted_one_is_refused(self, folder):
        write_pdf(folder / "closed.pdf", ["secret"], password="open")

        with pytest.raises(AttachmentError, match=r"closed\.pdf is encrypted: save a copy without its password"):
            one("closed.pdf")

    def test_a_scanned_one_is_refused(self, folder):
        writer = pypdf.PdfWriter()
        writer.add_blank_page(100, 100)
        writer.write(folder / "scan.pdf")

        with pytest.raises(AttachmentError, match=r"scan\.pdf contains no text, only pictures"):
            one("scan.pdf")

    @pytest.mark.parametrize("content", [b"%PDF-1.7\nbroken", b"", b"no PDF at all", bytes(range(256)) * 40])
    def test_a_broken_one_is_refused_and_nothing_is_printed(self, folder, content, capfd):
        (folder / "broken.pdf").write_bytes(content)

        with pytest.raises(AttachmentError, match=r"broken\.pdf cannot be read as a PDF file"):
            one("broken.pdf")
        assert capfd.readouterr() == ("", "")

    def test_secrets_in_it_are_masked(self, folder):
        write_pdf(folder / "keys.pdf", ["token ghp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9t"])

        assert "aB3dE5" not in one("keys.pdf").text

    def test_a_page_that_takes_too_long_is_refused(self, folder, monkeypatch):
        monkeypatch.setattr(documents, "DOCUMENT_SECONDS", 0.2)
        write_pdf(folder / "slow.pdf", [") Tj ( ".join(["word"] * 200_000)])

        with pytest.raises(AttachmentError, match=r"slow\.pdf takes longer than .* to read: save the part"):
            one("slow.pdf")


class TestWord:
    @pytest.fixture(autouse=True)
    def _letter(self, folder) -> None:
        letter = docx.Document()
        letter.add_heading("Offer", 1)
        letter.add_paragraph("Dear Anna,")
        table = letter.add_table(rows=2, cols=2)
        for place, text in enumerate(("item", "price", "tea", "3")):
            table.cell(place // 2, place % 2).text = text
        letter.add_paragraph("Yours")
        letter.save(folder / "letter.docx")

    def test_it_is_its_headings_paragraphs_and_tables(self):
        attachment = one("letter.docx")

        body = "# Offer\n\nDear Anna,\n\nitem | price\ntea | 3\n\nYours"
        assert attachment.text == f"letter.docx: Word document letter.docx\n```\n{body}\n```"
        assert attachment.about == "letter.docx"

    def test_without_its_library_it_is_refused(self, monkeypatch):
        missing(monkeypatch, "docx")

        with pytest.raises(AttachmentError, match=r"python-docx is needed to read it: .*\[files\].* installs it"):
            one("letter.docx")

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"text"])
    def test_a_broken_one_is_refused(self, folder, content):
        (folder / "broken.docx").write_bytes(content)

        with pytest.raises(AttachmentError, match=r"broken\.docx cannot be read as a Word document"):
            one("broken.docx")

    def test_one_that_is_huge_when_unpacked_is_refused(self, monkeypatch):
        monkeypatch.setattr(problems, "LARGEST_UNPACKED", 1_000)

        with pytest.raises(AttachmentError, match="its content is longer than"):
            one("letter.docx")

    def test_one_whose_xml_needs_too_much_memory_is_refused(self, monkeypatch):
        monkeypatch.setattr(documents, "LARGEST_WORD_XML", 1_000)

        with pytest.raises(AttachmentError, match="its content is longer than"):
            one("letter.docx")

    def test_of_a_long_one_only_the_beginning_is_read(self, folder, monkeypatch):
        book = docx.Document()
        for number in range(3_000):
            book.add_paragraph(f"Line {number}", style="Heading 2" if number % 10 == 0 else None)
        book.save(folder / "book.docx")
        styles: list[object] = []
        monkeypatch.setattr(docx.text.paragraph.Paragraph, "style", property(styles.append))  # it takes 2 ms for each

        text = one("book.docx").text

        assert "## Line 0\n\nLine 1\n\n" in text
        assert re.search(r"2,\d\d\d of 3,000 paragraphs are not shown", text)
        assert styles == []

    def test_one_that_takes_too_long_is_refused(self, monkeypatch):
        monkeypatch.setattr(documents, "DOCUMENT_SECONDS", -1.0)

        with pytest.raises(AttachmentError, match=r"letter\.docx takes longer than .* to read: save the part"):
            one("letter.docx")

    def test_a_variable_with_its_path_is_described_too(self, folder):
        assert "Dear Anna" in describe("it", folder / "letter.docx", 500)
