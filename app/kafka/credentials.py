"""Credentials in files. Each new connection reads them again: who replaces a file need not restart a process."""

import ssl
from pathlib import Path

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection

_connect = AIOKafkaConnection.connect


class PasswordFile:
    """A password in a file, without the line's end. It stands where aiokafka and Faust take a password."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str:
        """Return the password. Raises OSError."""
        return self._path.read_text().rstrip("\r\n")


class TokenFile(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """The token of OAUTHBEARER in a file, which aiokafka asks for at each connection."""

    def __init__(self, path: Path) -> None:
        self._file = PasswordFile(path)

    async def token(self) -> str:
        """Return the token. Raises OSError."""
        return self._file.read()


class ClusterTls(ssl.SSLContext):
    """The authorities that a client trusts, and its own certificate. Authorities are read once."""

    certificate_and_key: tuple[Path, Path] | None = None

    def read_certificate(self) -> None:
        """Read the client's certificate and key, if it has one. Raises OSError."""
        if self.certificate_and_key is not None:
            self.load_cert_chain(*self.certificate_and_key)


def cluster_tls(authorities: Path | None, certificate: Path | None, key: Path | None) -> ClusterTls:
    """Return the context of a client; without `authorities`, it trusts the system's. Raises OSError."""
    context = ClusterTls(ssl.PROTOCOL_TLS_CLIENT)
    if authorities is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(authorities)
    if certificate is not None and key is not None:
        context.certificate_and_key = (certificate, key)
        context.read_certificate()
    return context


async def _connect_with_current_files(self: AIOKafkaConnection) -> object:
    if isinstance(self._sasl_plain_password, PasswordFile):
        self._sasl_plain_password = self._sasl_plain_password.read()
    if isinstance(self._ssl_context, ClusterTls):
        self._ssl_context.read_certificate()
    return await _connect(self)


def install() -> None:
    """Patch every connection of this process, so that Faust's clients read the files too."""
    AIOKafkaConnection.connect = _connect_with_current_files
