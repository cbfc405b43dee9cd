"""`hindsight models pull` fetches the weights of every task, and reports each."""

import json
from pathlib import Path

import pytest

from app.settings import Settings
from tests.support.commands import invoke_hindsight
from tests.support.package_index import PackageIndex
from tests.support.packaged_task import entry, write_task, write_version


@pytest.fixture
def config(tmp_path: Path, package_index: PackageIndex, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Two tasks with weights; the package of the first is not published. The third has none to fetch."""
    monkeypatch.syspath_prepend(tmp_path)
    package_index.add_tarball("models", "3.0.4", {"a.bin": b"weights"})
    tasks = {name: write_task(tmp_path, name) for name in ("unpublished", "published")}
    for name, package in (("unpublished", "npm models==9.9.9"), ("published", "npm models==3.0.4")):
        write_version(tmp_path / name / "versions" / "1", {"a.bin": entry(b"weights", package, "a.bin")})
    tasks["letters"] = "tests.support.tasks:Letters"
    return Settings(cache=tmp_path / "cache", home=tmp_path / "home", tasks=tasks)


async def test_a_task_is_fetched_and_its_version_printed(config: Settings) -> None:
    first, second = [await invoke_hindsight(config, "models", "pull", "published") for _ in range(2)]
    assert first.out.split()[:5] == ["published", "1", "0.0", "MiB", "fetched"]
    assert "was there" in second.out
    assert first.out.split()[-1].startswith(str(config.cache / "models"))


async def test_a_task_that_fails_does_not_stop_another(config: Settings) -> None:
    result = await invoke_hindsight(config, "models", "pull", "--json")
    assert result.code == 1
    fields = json.loads(result.out)
    assert (fields["task"], fields["version"], fields["bytes"], fields["fetched"]) == ("published", "1", 7, True)


async def test_a_task_without_packages_has_nothing_to_fetch(config: Settings) -> None:
    result = await invoke_hindsight(config, "models", "pull", "letters")
    assert (result.code, result.out) == (0, "")
