"""BOLT11, the text of an invoice: read it with all its checks, and write one.

Rules: a text is taken only if it is whole (its checksum), signed (the signature fits the payee that it names, or names
one itself), has a payment hash and an amount, and belongs to the network that is meant. Whatever the library raises on
damaged text becomes `BadInvoice`. The library has no release for Python 3.13 and later; where it is missing there are
no invoices, and all else works.

Source: BOLT #11, "Invoice Protocol for Lightning Payments"; the library is `bolt11`.
"""

import hashlib

import msgspec

from actors.rules.invoices import Made

try:
    import bitstring
    import bolt11
except ModuleNotFoundError:
    IS_AVAILABLE = False
else:
    IS_AVAILABLE = True

TEXT_CHARS_MAX = 4_096
"""Longer than any honest invoice; the widest field alone may take 1,024 characters."""
MISSING = "invoices need the package bolt11, which has no release for this Python; take 3.11 or 3.12"


class BadInvoice(Exception):
    """The text is no invoice that could be used; the words say why."""


class Draft(msgspec.Struct, frozen=True):
    """An invoice that is to be written."""

    network: str
    amount_msat: int
    description: str
    payment_hash: str
    payment_secret: str
    created_s: int
    expiry_s: int


def write(draft: Draft, key: str) -> str:
    """The text, signed with a private key in hex. Raises `BadInvoice`."""
    if not IS_AVAILABLE:
        raise BadInvoice(MISSING)
    tags = bolt11.Tags()
    tags.add(bolt11.TagChar.payment_hash, draft.payment_hash)
    tags.add(bolt11.TagChar.payment_secret, draft.payment_secret)
    tags.add(bolt11.TagChar.description, draft.description)
    tags.add(bolt11.TagChar.expire_time, draft.expiry_s)
    tags.add(bolt11.TagChar.min_final_cltv_expiry, 18)  # the least that the protocol lets everyone assume
    features: dict[bolt11.Feature | bolt11.FeatureExtra, bolt11.FeatureState] = {
        bolt11.Feature.var_onion_optin: bolt11.FeatureState.required,
        bolt11.Feature.payment_secret: bolt11.FeatureState.required,
    }
    tags.add(bolt11.TagChar.features, bolt11.Features.from_feature_list(features))
    amount = bolt11.MilliSatoshi(draft.amount_msat)
    return bolt11.encode(bolt11.Bolt11(draft.network, draft.created_s, tags, amount), key)


def read(text: str, network: str) -> Made:
    """What the text says, all checks passed. Raises `BadInvoice`."""
    if not IS_AVAILABLE:
        raise BadInvoice(MISSING)
    if len(text) > TEXT_CHARS_MAX or not text.isascii():
        raise BadInvoice(f"it is not ASCII of at most {TEXT_CHARS_MAX} characters")
    try:
        invoice = bolt11.decode(text)
        payment_hash, payee = invoice.payment_hash, invoice.payee
    except bolt11.Bolt11Exception as error:
        raise BadInvoice(str(error)) from error
    except (bitstring.Error, ValueError, TypeError, IndexError, AssertionError) as error:
        # What the library lets through of the parts that it is built on, on damaged text.
        raise BadInvoice("it is damaged") from error
    if invoice.currency != network:
        raise BadInvoice(f"it is of the network {invoice.currency!r}, not {network!r}")
    if not invoice.amount_msat:
        raise BadInvoice("it names no amount")
    if payee is None:
        raise BadInvoice("nobody has signed it")
    expires_us = (invoice.date + invoice.expiry) * 1_000_000
    return Made(text.lower(), payment_hash, payee, int(invoice.amount_msat), expires_us)


def hash_of(preimage: bytes) -> str:
    """The payment hash of a preimage, in hex."""
    return hashlib.sha256(preimage).hexdigest()
