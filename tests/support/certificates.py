"""Two certificates for 127.0.0.1 that signed themselves, good for a hundred years and for nothing but tests."""

from pathlib import Path
from typing import NamedTuple


class Certificate(NamedTuple):
    """Where a certificate and its key stand."""

    certificate: Path
    key: Path


_OWN = """\
-----BEGIN CERTIFICATE-----
MIIBhTCCASqgAwIBAgIULgEJrp+S5nxrws6fX9jUVunGTz8wCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDb3duMCAXDTI2MTEyMjA0NTM1NVoYDzIxMjYxMDI5MDQ1MzU1
WjAOMQwwCgYDVQQDDANvd24wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAT3W0Wb
aGbsf2Qi65i+DMUZ3TSUxCoRRcVj9VQD6OT3IW0CnrBHDgGxbkXYp2Gw35YCajeP
x8rGNOh4FAgKQmWvo2QwYjAdBgNVHQ4EFgQUQipMqTV/DMlDNxjyRxEy9cZEOK8w
HwYDVR0jBBgwFoAUQipMqTV/DMlDNxjyRxEy9cZEOK8wDwYDVR0TAQH/BAUwAwEB
/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0kAMEYCIQCvwb79E9z1NO0U
fFYv6M6UPg5wpOrpGB9VhnXqSbW6jAIhALOOqfzeOJ1fBubgUlHQlSAZjTomYs34
ffsJr/fXS0Q3
-----END CERTIFICATE-----
"""
_OWN_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg9Y4m0LzoOdWgLWSp
ixPBD0+FTXIjb5V46+GeovBOewqhRANCAAT3W0WbaGbsf2Qi65i+DMUZ3TSUxCoR
RcVj9VQD6OT3IW0CnrBHDgGxbkXYp2Gw35YCajePx8rGNOh4FAgKQmWv
-----END PRIVATE KEY-----
"""
_OTHER = """\
-----BEGIN CERTIFICATE-----
MIIBiTCCAS6gAwIBAgIUeka8e+S3FG0DUI9a+4CwItxwq0cwCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFb3RoZXIwIBcNMjYxMTIyMDQ1MzU1WhgPMjEyNjEwMjkwNDUz
NTVaMBAxDjAMBgNVBAMMBW90aGVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
hFLbw3z6+VgX1QXAUSD8I73ueLf1dw8vdslv3Ahy49ro9aQqm5tVNJarBjOe4iC6
IAJIE+rUez1BQ909ncS/TKNkMGIwHQYDVR0OBBYEFPO6p9nyzuUymfLqeMysgj0M
3TQJMB8GA1UdIwQYMBaAFPO6p9nyzuUymfLqeMysgj0M3TQJMA8GA1UdEwEB/wQF
MAMBAf8wDwYDVR0RBAgwBocEfwAAATAKBggqhkjOPQQDAgNJADBGAiEA73VPbpOE
gOFA7jqvghWjsCuIkacm+T5V9338raIG0JECIQCmEjH9JxixZVUDxm7Fu296LY57
TtQmbNpFZng/upXX8A==
-----END CERTIFICATE-----
"""
_OTHER_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg0J8+qI5q/ImP5FyN
joCFF1dmEOFsM08c/wHUdT9xfU+hRANCAASEUtvDfPr5WBfVBcBRIPwjve54t/V3
Dy92yW/cCHLj2uj1pCqbm1U0lqsGM57iILogAkgT6tR7PUFD3T2dxL9M
-----END PRIVATE KEY-----
"""


def self_signed(folder: Path) -> Certificate:
    """The certificate that is called as the folder is: `own` or `other`."""
    certificate, key = (_OWN, _OWN_KEY) if folder.name == "own" else (_OTHER, _OTHER_KEY)
    folder.mkdir()
    made = Certificate(folder / "tls.cert", folder / "tls.key")
    made.certificate.write_text(certificate, encoding="ascii")
    made.key.write_text(key, encoding="ascii")
    return made
