"""The HTML report: a page for each image and an index of a folder, each one file that needs no other."""

from gmmquant.report.html.index import IndexEntry, html_index
from gmmquant.report.html.page import html_page

__all__ = ["IndexEntry", "html_index", "html_page"]
