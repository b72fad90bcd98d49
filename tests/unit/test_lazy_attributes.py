"""Names that are imported when they are first used."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from bitvit.lazy_attributes import lazy_attributes


def test_a_name_is_imported_once_and_others_do_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("package_of_a_test")
    monkeypatch.setitem(sys.modules, package.__name__, package)
    get = lazy_attributes(package.__name__, {"sqrt": "math"})
    assert not hasattr(package, "sqrt")
    assert get("sqrt")(4.0) == 2.0  # type: ignore[operator]
    assert package.sqrt is get("sqrt")
    with pytest.raises(AttributeError, match="'package_of_a_test' has no attribute 'cbrt'"):
        get("cbrt")
