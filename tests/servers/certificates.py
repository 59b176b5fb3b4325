"""A certificate authority for one test run, and a server certificate for this machine."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Certificates:
    """PEM files that servers read, and the context a client trusts them with."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._authority = trustme.CA()
        server = self._authority.issue_cert("localhost", "127.0.0.1", "::1")
        self.ca_file = folder / "ca.pem"
        self.certificate_file = folder / "server.pem"
        self.key_file = folder / "server.key"
        self._authority.cert_pem.write_to_path(str(self.ca_file))
        for part in server.cert_chain_pems:
            part.write_to_path(str(self.certificate_file), append=True)
        self.key_file.touch(mode=0o600)
        server.private_key_pem.write_to_path(str(self.key_file))

    def client_context(self) -> ssl.SSLContext:
        """A context that trusts this authority and nobody else."""
        return ssl.create_default_context(cafile=self.ca_file)
