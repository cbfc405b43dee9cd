"""HTTPS with a self-signed certificate."""

import asyncio
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from app.api.__main__ import server_config
from app.embedded import prometheus
from app.embedded.api_readiness import api_url, probe_readiness
from app.errors import SetupError
from app.settings import Settings
from app.system import api_tls
from tests.support.platform import platform_settings, run_api


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    """Settings with a certificate for another name than the one that clients on this machine use."""
    subject, days = "/CN=hindsight.example", "2"
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-days", days]
    subprocess.run([*command, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    return platform_settings(
        tmp_path,
        tasks={"ocr": "models.small.ocr:Ocr"},
        tls_certificate=certificate,
        tls_key=key,
        api_key=SecretStr("s3cret"),
    )


async def test_the_api_speaks_https_and_clients_on_this_machine_trust_its_certificate(config: Settings) -> None:
    with run_api(config) as process:
        while not (await probe_readiness(config))[1].keys() - {"api"}:  # until the API answers with its parts
            assert process.poll() is None
            await asyncio.sleep(0.1)
        async with httpx.AsyncClient(verify=api_tls.client_verification(config), trust_env=False) as http:
            docs = await http.get(f"{api_url(config)}/docs", headers={"X-API-Key": "s3cret"})
            login = await http.post(f"{api_url(config)}/login", data={"key": "s3cret"})
        assert docs.status_code == 200
        assert "; Secure" in login.headers["set-cookie"]
        async with httpx.AsyncClient(trust_env=False) as stranger:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.get(f"{api_url(config)}/healthz")
            with pytest.raises(httpx.HTTPError):
                await stranger.get(f"{api_url(config)}/healthz".replace("https", "http"))


def test_without_a_certificate_the_api_speaks_plain_http(config: Settings) -> None:
    plain = config.model_copy(update={"tls_certificate": None, "tls_key": None})
    assert (api_tls.certificate_files(plain), api_tls.client_verification(plain), api_url(plain)[:5]) == (
        None,
        True,
        "http:",
    )


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"tls_key": None}, "Only one of HINDSIGHT_TLS_CERTIFICATE and HINDSIGHT_TLS_KEY is set"),
        ({"tls_certificate": None}, "Only one of HINDSIGHT_TLS_CERTIFICATE and HINDSIGHT_TLS_KEY is set"),
        ({"tls_key": Path("/nowhere")}, "can't be used for HTTPS"),
        ({"tls_key": Path(__file__)}, "can't be used for HTTPS"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_an_error(
    config: Settings, update: dict[str, Path | None], message: str
) -> None:
    with pytest.raises(SetupError, match=message):
        api_tls.certificate_files(config.model_copy(update=update))


@pytest.mark.parametrize(("host", "https", "warned"), [("0.0.0.0", False, True), ("0.0.0.0", True, False)])
def test_plain_http_to_other_machines_is_served_with_a_warning(
    config: Settings,
    host: str,
    https: bool,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("app.api.__main__.mount", lambda app, services: None)
    plain = {} if https else {"tls_certificate": None, "tls_key": None}
    server = server_config(config.model_copy(update={"host": host} | plain))
    assert ("cross the network in clear" in caplog.text) == warned
    assert (server.ssl_certfile is not None) == https


def test_prometheus_and_alertmanager_use_https(config: Settings) -> None:
    config.home.mkdir()
    document = prometheus._prometheus_config(config)
    [job] = [job for job in document["scrape_configs"] if job["job_name"] == "hindsight-api"]
    assert (job["scheme"], job["tls_config"]) == ("https", {"insecure_skip_verify": True})
    assert prometheus._alertmanager_config(config)["receivers"][0]["webhook_configs"][0]["url"].startswith("https://")


def test_clients_on_this_machine_trust_only_the_apis_certificate(config: Settings) -> None:
    context = api_tls.client_verification(config)
    assert isinstance(context, ssl.SSLContext)
    assert len(context.get_ca_certs()) == 1
