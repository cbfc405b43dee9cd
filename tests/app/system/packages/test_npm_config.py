"""npm's settings are read as npm reads them."""

from pathlib import Path

import pytest

from app.system.packages.npm_config import DEFAULT_REGISTRY, authorization, read_npm_config, registry_of


@pytest.fixture
def npmrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's settings, without any others."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(tmp_path / "user"))
    monkeypatch.setenv("npm_config_globalconfig", str(tmp_path / "machine"))
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)
    return tmp_path / "user"


def test_settings_are_lines_of_a_file_whose_variables_are_replaced(
    npmrc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "a=b")
    npmrc.write_text(
        '# registry = http://comment\n; a = comment\n\nregistry = "http://mirror/"\n//mirror/:_authToken=${SECRET}\n'
    )
    config = read_npm_config()
    assert config["registry"] == "http://mirror/"
    assert config["//mirror/:_authToken"] == "a=b"
    assert not any("comment" in value for value in config.values())


def test_the_nearer_setting_counts(npmrc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("machine", "user", ".npmrc"):
        npmrc.with_name(name).write_text(f"registry=http://{name}\n{name}=1\n")
    assert read_npm_config()["registry"] == "http://.npmrc"
    monkeypatch.setenv("npm_config_registry", "http://environment")
    monkeypatch.setenv("NPM_CONFIG_HTTPS_PROXY", "http://proxy")
    config = read_npm_config()
    assert config["registry"] == "http://environment"
    assert config["https-proxy"] == "http://proxy"
    assert {"machine", "user", ".npmrc"} <= config.keys()


def test_a_scope_may_have_a_registry_of_its_own() -> None:
    config = {"registry": "http://mirror", "@maker:registry": "http://maker/"}
    assert registry_of("@maker/models", config) == "http://maker/"
    assert registry_of("models", config) == "http://mirror/"
    assert registry_of("models", {}) == DEFAULT_REGISTRY


def test_a_token_is_for_the_nearest_place_alone() -> None:
    config = {"//mirror/:_authToken": "far", "//mirror/npm/:_auth": "near", "//other/:_authToken": "other"}
    assert authorization("http://mirror/npm/models", config) == {"Authorization": "Basic near"}
    assert authorization("http://mirror/models", config) == {"Authorization": "Bearer far"}
    assert authorization("http://else/models", config) == {}
