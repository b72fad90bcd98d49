"""Networks inside the page. The page itself runs in `tests/everywhere/test_page.py`."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from bitvit.program.errors import ProgramError
from bitvit.trained import trained_models
from bitvit.web import PageError, PageModel, page, page_model, web_page


@pytest.fixture(autouse=True)
def template(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    path.write_text('<script type="application/json" id="contents">/*MODELS*/</script>', "utf-8")
    monkeypatch.setattr(page, "TEMPLATE", path)
    return path


def _contents(html: bytes) -> list[dict[str, object]]:
    (text,) = re.findall(r"<script[^>]*>(.*?)</script>", html.decode(), re.DOTALL)
    models: list[dict[str, object]] = json.loads(text)["models"]
    return models


def test_models_and_pictures_are_inside() -> None:
    trained = trained_models()
    contents = _contents(web_page([page_model(model.path, [model.sample]) for model in trained]))
    assert [entry["name"] for entry in contents] == [model.path.name for model in trained]
    for entry, model in zip(contents, trained, strict=True):
        assert base64.b64decode(str(entry["data"])) == model.path.read_bytes()
        sample = base64.b64encode(model.sample.read_bytes()).decode()
        assert entry["samples"] == [{"name": model.sample.name, "data": sample}]


def test_names_cannot_end_the_script() -> None:
    name = '</script><script>alert("&amp;")</script>.bitvit'
    (entry,) = _contents(web_page([PageModel(name, b"")]))
    assert entry == {"name": name, "data": "", "samples": []}


def test_without_the_built_page(template: Path) -> None:
    template.unlink()
    with pytest.raises(PageError, match="make web"):
        web_page([])


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bitvit").write_bytes(b"no network")
    with pytest.raises(ProgramError, match=r"a\.bitvit"):
        page_model(tmp_path / "a.bitvit")


def test_pictures_that_browsers_do_not_show(tmp_path: Path) -> None:
    model = trained_models()[0].path
    Image.new("L", (4, 4)).save(tmp_path / "deep.tif")
    with pytest.raises(PageError, match=r"deep\.tif: browsers do not show TIFF"):
        page_model(model, [tmp_path / "deep.tif"])
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(PageError, match=r"text\.png: not a picture"):
        page_model(model, [tmp_path / "text.png"])
    with pytest.raises(PageError, match=r"no\.png: No such file"):
        page_model(model, [tmp_path / "no.png"])
