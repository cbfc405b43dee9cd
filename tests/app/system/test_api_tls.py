"""HTTPS, with a certificate of one's own."""

import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from app.api.__main__ import server_config
from app.embedded import prometheus
from app.embedded.readiness import api_url, probe_readiness
from app.errors import SetupError
from app.settings import Settings
from app.system import api_tls
from tests.support.platform import platform_settings, run_api


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    """Settings with a certificate for another name than the one by which this machine asks."""
    subject, days = "/CN=hindsight.example", "2"
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-days", days]
    subprocess.run([*command, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    return platform_settings(
        tmp_path, tasks={"ocr": "models.ocr:Ocr"}, tls_certificate=certificate, tls_key=key, api_key=SecretStr("s3cret")
    )


async def test_the_api_speaks_https_and_this_machines_own_callers_know_its_certificate(config: Settings) -> None:
    with run_api(config) as process:
        while not (await probe_readiness(config))[1].keys() - {"api"}:  # those of an answer
            assert process.poll() is None
        async with httpx.AsyncClient(verify=api_tls.client_verification(config), trust_env=False) as http:
            answer = await http.get(f"{api_url(config)}/docs", headers={"X-API-Key": "s3cret"})
            login = await http.post(f"{api_url(config)}/login", data={"key": "s3cret"})
        assert answer.status_code == 200
        assert "; Secure" in login.headers["set-cookie"]
        async with httpx.AsyncClient(trust_env=False) as stranger:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.get(f"{api_url(config)}/healthz")
            with pytest.raises(httpx.HTTPError):
                await stranger.get(f"{api_url(config)}/healthz".replace("https", "http"))


def test_without_a_certificate_it_is_plain_http(config: Settings) -> None:
    plain = config.model_copy(update={"tls_certificate": None, "tls_key": None})
    assert (api_tls.certificate_files(plain), api_tls.client_verification(plain), api_url(plain)[:5]) == (
        None,
        True,
        "http:",
    )


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"tls_key": None}, "only one is set"),
        ({"tls_certificate": None}, "only one is set"),
        ({"tls_key": Path("/nowhere")}, "can't be used for HTTPS"),
        ({"tls_key": Path(__file__)}, "can't be used for HTTPS"),
    ],
)
def test_what_can_not_be_used_is_said(config: Settings, update: dict[str, Path | None], message: str) -> None:
    with pytest.raises(SetupError, match=message):
        api_tls.certificate_files(config.model_copy(update=update))


@pytest.mark.parametrize(("host", "https", "warned"), [("0.0.0.0", False, True), ("0.0.0.0", True, False)])
def test_others_are_not_served_in_clear_without_a_warning(
    config: Settings,
    host: str,
    https: bool,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("app.api.__main__.mount", lambda app, services: None)
    plain = {} if https else {"tls_certificate": None, "tls_key": None}
    served = server_config(config.model_copy(update={"host": host} | plain))
    assert ("cross the network in clear" in caplog.text) == warned
    assert (served.ssl_certfile is not None) == https


def test_the_watchers_ask_by_https(config: Settings) -> None:
    config.home.mkdir()
    made = prometheus._prometheus_config(config)
    [api] = [one for one in made["scrape_configs"] if one["job_name"] == "hindsight-api"]
    assert (api["scheme"], api["tls_config"]) == ("https", {"insecure_skip_verify": True})
    assert prometheus._alertmanager_config(config)["receivers"][0]["webhook_configs"][0]["url"].startswith("https://")


def test_only_that_certificate_is_trusted(config: Settings) -> None:
    context = api_tls.client_verification(config)
    assert isinstance(context, ssl.SSLContext)
    assert len(context.get_ca_certs()) == 1
