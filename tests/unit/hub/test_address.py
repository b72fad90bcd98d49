from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from bitvit.errors import BitvitError
from bitvit.hub import HubAddress, HubError, explained, is_hub_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://ann/photos", HubAddress("ann/photos")),
        ("ann/photos", HubAddress("ann/photos")),
        ("hf://ann/photos@v1.0", HubAddress("ann/photos", None, "v1.0")),
        ("hf://ann/photos@refs%2Fpr%2F1/deep/a.bitvit", HubAddress("ann/photos", "deep/a.bitvit", "refs/pr/1")),
        (Path("hf://ann/photos/a.bitvit"), HubAddress("ann/photos", "a.bitvit")),
    ],
)
def test_addresses(text: str | Path, expected: HubAddress) -> None:
    assert HubAddress.parse(text) == expected
    assert HubAddress.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "text", ["hf://", "hf://ann", "hf://a/b@", "hf://a/b/../c", "hf://spaces/a/b", "hf://ä/b", "a"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(HubError):
        HubAddress.parse(text)


def test_only_the_scheme_makes_an_address() -> None:
    assert is_hub_address("hf://ann/photos") and is_hub_address(Path("hf://ann/photos"))
    assert not any(map(is_hub_address, ["ann/photos", "hf", "hf:photos", "/data/hf://x", "https://huggingface.co/a/b"]))


def test_errors_of_the_connection_are_one_line() -> None:
    errors = pytest.importorskip("huggingface_hub.errors")
    http = import_module("httpx2" if find_spec("httpx2") else "httpx")  # whichever the installed version uses
    for raised in (
        errors.LocalEntryNotFoundError("no"),
        errors.OfflineModeIsEnabled("no"),
        http.ConnectError("[Errno 111] Connection refused"),
        OSError("no route to host"),
    ):
        with pytest.raises(BitvitError, match=r"^hf://a/b: [^\n]+$"), explained(HubAddress("a/b")):
            raise raised
    with pytest.raises(ZeroDivisionError), explained("a bug is none of the hub's errors"):
        raise ZeroDivisionError
