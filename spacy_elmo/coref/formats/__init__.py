"""Readers and writers of files with coreference: CoNLL-2012, CorefUD and JSON lines."""

from .coref_document import CorefDocument
from .dropped import Dropped
from .registry import find_files, read_coref, read_documents, write_coref

__all__ = [
    "CorefDocument",
    "Dropped",
    "find_files",
    "read_coref",
    "read_documents",
    "write_coref",
]
