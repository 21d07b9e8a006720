"""docs/gateway.md says what is so."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from proctor_gateway.settings import Settings

_PAGE = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_on_the_page(name: str):
    """With its default and what it is for."""
    field = Settings.model_fields[name]
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    assert f"| `PROCTOR_GATEWAY_{name.upper()}` | `{default}` | {field.description} |" in _PAGE


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    """Each variable is read; a value that makes no sense is refused by its name."""
    monkeypatch.setenv("PROCTOR_GATEWAY_QUEUE", "7")
    assert Settings().queue == 7
    monkeypatch.setenv("PROCTOR_GATEWAY_QUEUE", "none")
    with pytest.raises(ValueError, match="queue"):
        Settings()


def test_the_store_is_not_shown():
    """The URL may hold a password."""
    assert "open-sesame" not in repr(Settings(store="postgresql://proctor:open-sesame@db/proctor"))
