"""Captions taken apart into what is about which panel, as offsets into the text."""

from data_gen.pipelines.pubmed.captions.split import split
from data_gen.pipelines.pubmed.captions.texts import label_text, panel_text

__all__ = ["label_text", "panel_text", "split"]
