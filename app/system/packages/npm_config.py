"""The settings of npm that a download needs, read as npm reads them; npm itself need not be installed."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

DEFAULT_REGISTRY = "https://registry.npmjs.org/"
"""npm's own default."""
_PREFIX = re.compile("npm_config_", re.IGNORECASE)
_LINE = re.compile(r"\s*([^#;=\s][^=]*?)\s*=\s*(.*?)\s*")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SCHEMES = {":_authToken": "Bearer", ":_auth": "Basic"}


def read_npm_config() -> dict[str, str]:
    """Return the settings by name: the environment's, then those of the `.npmrc` here, the user's, the machine's."""
    variables = {
        _setting(prefix.string[prefix.end() :]): value
        for name, value in os.environ.items()
        if value and (prefix := _PREFIX.match(name))
    }
    user = Path(variables.get("userconfig", Path.home() / ".npmrc"))
    machine = Path(variables.get("globalconfig", "/etc/npmrc"))
    return {**_read(machine), **_read(user), **_read(Path(".npmrc")), **variables}


def _setting(name: str) -> str:
    return name if name.startswith("//") else re.sub("(?!^)_", "-", name).lower()


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = filter(None, map(_LINE.fullmatch, path.read_text().splitlines()))
    return {line[1]: _VARIABLE.sub(_variable, line[2].strip("\"'")) for line in lines}


def _variable(name: re.Match[str]) -> str:
    return os.environ.get(name[1], name[0])


def registry_of(package: str, config: Mapping[str, str]) -> str:
    """Return the URL of the registry that a package comes from, which its scope may decide."""
    scope = package.partition("/")[0]
    url = config.get(f"{scope}:registry") or config.get("registry") or DEFAULT_REGISTRY
    return url.rstrip("/") + "/"


def authorization(url: str, config: Mapping[str, str]) -> dict[str, str]:
    """Return the header that proves to the server of this URL who asks; none where the settings have no token."""
    place = f"//{url.partition('://')[2]}"
    tokens = {
        key.removesuffix(end): f"{scheme} {value}"
        for key, value in config.items()
        for end, scheme in _SCHEMES.items()
        if key.startswith("//") and key.endswith(end) and place.startswith(key.removesuffix(end))
    }
    return {"Authorization": tokens[max(tokens, key=len)]} if tokens else {}
