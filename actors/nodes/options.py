"""What the config says of Lightning."""

from typing import Annotated, Literal

import msgspec

Backend = Literal["simulated", "lnd", "lnbits"]


class LightningOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How invoices are made, and how it is found out that they were paid."""

    backend: Backend = "simulated"
    """`simulated`: invoices that nobody can pay and that settle only when told, for trying things out; `lnd` or
    `lnbits`: a node's REST interface."""
    url: str = ""
    """Where the node answers, such as `https://127.0.0.1:8080`."""
    key_env: str = "LIGHTNING_KEY"
    """The environment variable with the node's key: LND's macaroon in hex (`invoices:read invoices:write` is enough),
    or LNbits' invoice key. A key stands in no file."""
    tls_cert: str = ""
    """The file with the certificate that the node signed itself, as LND's `tls.cert`; empty: one that all trust."""
    webhook_url: str = ""
    """Where LNbits reports a payment: `https://HOST/api/ledger/webhooks/lnbits` as seen from there; empty: it is
    asked again and again alone."""
    network: Literal["bc", "tb", "tbs", "bcrt"] = "bc"
    """Whose invoices are taken from a node: Bitcoin's main network, its test networks, or a private one."""
    poll_s: Annotated[float, msgspec.Meta(gt=0, le=3_600)] = 5.0
    """Between two looks at the invoices that are pending."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=9)] = 8.0
    """For each answer of the node."""
    expiry_s: Annotated[int, msgspec.Meta(ge=60, le=30 * 86_400)] = 3_600
    """How long an invoice may be paid where nobody says otherwise."""
    grace_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 30.0
    """After its time, an invoice is asked for once more before it counts as expired: a payment may have been under
    way."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ValueError: it names the setting.
        """
        if self.backend != "simulated" and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"`url` must begin with http:// or https:// for {self.backend!r}")
        if self.webhook_url and not self.webhook_url.startswith(("http://", "https://")):
            raise ValueError("`webhook_url` must begin with http:// or https://")
