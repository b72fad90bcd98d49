"""A web page with networks inside: one HTML file that runs them in any browser, without a connection."""

from bitvit.web.errors import PageError
from bitvit.web.page import PageModel, page_model, web_page

__all__ = ["PageError", "PageModel", "page_model", "web_page"]
