"""What both stores agree on about documents."""

from __future__ import annotations

from collections.abc import Iterable

from iotcache.errors import StoreError
from iotcache.model import Document, DocumentKind, DocumentName
from iotcache.store.rows import INT64_MAX, INT64_MIN, give_text, keep_text
from iotcache.text import printable

DocumentRow = tuple[str, str, int, str, str, int]


def document_row(document: Document) -> DocumentRow:
    """A document as its row. Raises `StoreError` (not retryable) for numbers that do not fit in 64 bits."""
    for number in (document.version, document.at_us):
        if not INT64_MIN <= number <= INT64_MAX:
            raise StoreError(
                f"the {document.kind} of {printable(document.device, 60)} has a number beyond 64 bits",
                retryable=False,
            )
    return (
        keep_text(document.device), document.kind.value, document.version, document.content,
        keep_text(document.site), document.at_us,
    )  # fmt: skip


def row_document(row: DocumentRow) -> Document:
    """The document that `document_row` made ``row`` of."""
    device, kind, version, content, site, at_us = row
    return Document(give_text(device), DocumentKind(kind), version, content, give_text(site), at_us)


def highest(documents: Iterable[Document]) -> list[Document]:
    """The highest version of each document, in the order of their names; of equals the first."""
    best: dict[DocumentName, Document] = {}
    for document in documents:
        other = best.get(document.name)
        if other is None or document.version > other.version:
            best[document.name] = document
    return [best[name] for name in sorted(best)]


def stands(document: Document, found: Document | None) -> bool:
    """Whether ``found``, which is in the store, is the document as given."""
    return found is not None and (found.version, found.content) == (document.version, document.content)


def place_after(above: DocumentName | None) -> tuple[str, str]:
    """The row key after which a page of names begins."""
    return ("", "") if above is None else (keep_text(above.device), above.kind.value)
