"""HTTPS for the API: its certificate, and how clients on this machine verify it."""

import ssl
from pathlib import Path

from app.errors import SetupError
from app.settings import Settings


def certificate_files(config: Settings) -> tuple[Path, Path] | None:
    """Return the files of the certificate and its key, or None for plain HTTP. Raises SetupError if unusable."""
    certificate, key = config.tls_certificate, config.tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SetupError(
            "Only one of HINDSIGHT_TLS_CERTIFICATE and HINDSIGHT_TLS_KEY is set.",
            "Set both to PEM files for HTTPS, or neither for plain HTTP.",
        )
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except OSError as error:  # an SSLError is one
        raise SetupError(
            f"{certificate} and {key} can't be used for HTTPS: {error}.",
            "Use a PEM certificate with its chain, and its key without a passphrase.",
        ) from None
    return certificate, key


def api_scheme(config: Settings) -> str:
    """Return the URL scheme of the API."""
    return "http" if config.tls_certificate is None else "https"


def client_verification(config: Settings) -> ssl.SSLContext | bool:
    """Return the `verify` argument of httpx on this machine: trust our own certificate, whatever name it has."""
    if config.tls_certificate is None:
        return True
    context = ssl.create_default_context(cafile=str(config.tls_certificate))
    context.check_hostname = False  # the API is reached at a loopback address
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
