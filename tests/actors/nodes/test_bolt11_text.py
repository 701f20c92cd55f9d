"""BOLT11, held to the specification's own examples."""

import pytest
from bech32 import bech32_decode, bech32_encode
from hypothesis import given
from hypothesis import strategies as st

from actors.nodes import bolt11_text
from actors.nodes.bolt11_text import BadInvoice, Draft, hash_of, read, write

KEY = "e126f68f7eafcc8b74f54d269fe206be715000f94dac067d1c04a8ca3b2db734"
PAYEE = "03e7156ae33b0a208d0744199163177e909e80176e55d97a2f221ede0f934dd9ad"
"""The specification's key pair."""
HASH = "0001020304050607080900010203040506070809000102030405060708090102"
DONATION = (
    "lnbc1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqw"
    "zqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq9qrsgq357wnc5r2ueh7ck6q93dj32dlqnls087fxdw"
    "k8qakdyafkq3yap9us6v52vjjsrvywa6rt52cm9r9zqt8r2t7mlcwspyetp5h2tztugp9lfyql"
)
"""The first example of the specification: a donation of any amount, which is no invoice that could be counted on."""


def draft(amount_msat: int = 250_000_000, expiry_s: int = 60) -> Draft:
    return Draft("bc", amount_msat, "1 cup coffee", HASH, "11" * 32, 1_496_314_658, expiry_s)


def test_what_is_written_is_read_again_with_its_signer() -> None:
    made = read(write(draft(), KEY), "bc")
    assert (made.amount_msat, made.payment_hash, made.payee) == (250_000_000, HASH, PAYEE)
    assert made.expires_us == (1_496_314_658 + 60) * 1_000_000


def test_a_text_in_capitals_as_a_code_has_it_means_the_same() -> None:
    text = write(draft(), KEY)
    assert read(text.upper(), "bc") == read(text, "bc")


def test_the_specifications_donation_is_read_as_far_as_its_missing_amount() -> None:
    with pytest.raises(BadInvoice, match="it names no amount"):
        read(DONATION, "bc")


def test_an_invoice_of_another_network_is_not_ours() -> None:
    with pytest.raises(BadInvoice, match="of the network 'bc', not 'bcrt'"):
        read(write(draft(), KEY), "bcrt")


@pytest.mark.parametrize("text", ["", "lnbc", "hello", "lnbc1" + "q" * 5_000, "ünï", DONATION[:-1], DONATION[:200]])
def test_what_is_no_invoice_is_refused(text: str) -> None:
    with pytest.raises(BadInvoice):
        read(text, "bc")


def test_a_changed_letter_does_not_pass_the_checksum() -> None:
    text = write(draft(), KEY)
    for place in range(10, len(text), 7):
        changed = text[:place] + ("q" if text[place] != "q" else "p") + text[place + 1 :]
        with pytest.raises(BadInvoice):
            read(changed, "bc")


def test_a_forged_amount_with_a_good_checksum_is_signed_by_somebody_else() -> None:
    name, data = bech32_decode(write(draft(), KEY))
    assert (name, data is not None) == ("lnbc2500u", True)
    assert data is not None
    forged = bech32_encode("lnbc9500u", data)
    assert forged is not None
    try:
        made = read(forged, "bc")
    except BadInvoice:
        return
    assert made.payee != PAYEE


@given(st.data())
def test_damage_under_a_good_checksum_is_refused_in_words_or_signed_by_somebody_else(data: st.DataObject) -> None:
    text = write(draft(), KEY)
    name, letters = bech32_decode(text)
    assert letters is not None
    damaged = list(letters)
    for place in data.draw(st.lists(st.integers(0, len(letters) - 1), min_size=1, max_size=4)):
        damaged[place] = data.draw(st.integers(0, 31))
    cut = damaged[: data.draw(st.integers(1, len(damaged)))]
    assert name is not None
    again = bech32_encode(name, cut)
    if again in (None, text):
        return
    assert again is not None
    try:
        made = read(again, "bc")
    except BadInvoice:
        return
    assert made.payee != PAYEE or made.payment_hash == HASH  # padding bits are not signed


def test_the_hash_of_a_preimage_is_its_sha_256() -> None:
    assert hash_of(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_library_is_there() -> None:
    assert bolt11_text.IS_AVAILABLE
