"""The page in a real Chromium: files come by drop, answers are read from what a user sees."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.native_builds import require

TIMEOUT_MS = 120_000

# Without a GPU, and as root in a container; a camera that shows a test picture.
ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
             "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]  # fmt: skip

DROP = """
files => {
  const transfer = new DataTransfer();
  for (const [name, data] of files) {
    transfer.items.add(new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], name));
  }
  for (const type of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(type, {bubbles: true, cancelable: true, dataTransfer: transfer}));
  }
  return queue;
}
"""


@contextmanager
def chromium() -> Iterator[Any]:
    """Run a Chromium, or skip the test in one line where there is none."""
    require("chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, which this Python does not have")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, page_file: Path, **options: Any) -> Iterator[Any]:
    """Open a page from the disk; it may make no connection, and no error may stay unnoticed."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url) if request.url.startswith("http") else None)
    page.goto(page_file.as_uri())
    page.wait_for_selector("html[data-ready]")
    yield page
    context.close()
    assert problems == []


def drop(page: Any, *paths: Path) -> None:
    """Drop files on the page, and wait until it has dealt with them."""
    page.evaluate(DROP, [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths])


def shown_digests(page: Any) -> dict[str, str]:
    """Picture -> digest of the answer, for all pictures on the page."""
    buttons = page.locator("#strip button").all()
    return {button.get_attribute("title"): button.get_attribute("data-digest") for button in buttons}


def shown_logits(page: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The logits as the page writes them."""
    texts = page.locator("#logits tbody td:last-child").all_text_contents()
    return np.array([float(text) for text in texts], np.float32)
