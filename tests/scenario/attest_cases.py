# SPDX-License-Identifier: Apache-2.0
"""The cases: (name, document, profile, time or None for the document's own, expected crypto reason)."""
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ObjectIdentifier

import attest_forge as forge
from attest_forge import ANY, NITRO, NOW, QINGTIAN, Indefinite, Pairs, Raw, Wide, cbor, changed, document, fields

HOUR = datetime.timedelta(hours=1)


def indefinite(pairs):
    pairs.indefinite = True
    return pairs


def right(pki, qingtian):
    yield "plain", document(pki), NITRO, None, "ok"
    yield "under any", document(pki), ANY, None, "ok"
    yield "tag 18", document(pki, tag=b"\xd2"), NITRO, None, "ok"
    yield "tag 18 in two bytes", document(pki, tag=b"\xd8\x12"), NITRO, None, "ok"
    yield "indefinite array", document(pki, array=Indefinite), NITRO, None, "ok"
    yield "indefinite payload map", document(pki, indefinite(fields(pki))), NITRO, None, "ok"
    yield "indefinite everything", document(pki, indefinite(fields(
        pki, pcrs=indefinite(fields(pki)[3][1]), cabundle=Indefinite(pki.bundle())))), NITRO, None, "ok"
    yield "reversed field order", document(pki, Pairs(reversed(fields(pki)))), NITRO, None, "ok"
    yield "optional fields absent", changed(pki, public_key=..., user_data=..., nonce=...), NITRO, None, "ok"
    yield "optional fields at their limit", changed(pki, public_key=bytes(1024), user_data=bytes(1024),
                                                    nonce=bytes(1024)), NITRO, None, "ok"
    yield "unknown field", changed(pki, more={"a": [1, 2.5, None, {"b": b""}]}), NITRO, None, "ok"
    yield "wide integers", changed(pki, pcrs=Pairs((Wide(i, 8), bytes([i]) * 48) for i in range(32))), NITRO, None, "ok"
    yield "PCRs of 32 and 64 bytes", changed(pki, pcrs={0: b"a" * 32, 1: b"b" * 64}), NITRO, None, "ok"
    yield "the other signature of the pair", document(pki, twin=True), NITRO, None, "ok"
    yield "the root signed the leaf", root_only(pki), NITRO, None, "ok"
    yield "an authority without a common name", nameless(pki), NITRO, None, "ok"
    yield "first second of the leaf", document(pki), NITRO, NOW - HOUR, "ok"
    yield "last second of the leaf", document(pki), NITRO, NOW + 2 * HOUR, "ok"
    yield "qingtian", document(qingtian), QINGTIAN, None, "ok"
    yield "qingtian under any", document(qingtian), ANY, None, "ok"
    yield "qingtian big-endian", document(qingtian, little_endian=False), QINGTIAN, None, "ok"
    yield "qingtian, the other signature", document(qingtian, twin=True), QINGTIAN, None, "ok"
    yield "qingtian pubkey", changed(qingtian, public_key=..., pubkey=b"k"), QINGTIAN, None, "ok"
    yield "qingtian 4096 bytes", changed(qingtian, user_data=bytes(4096)), QINGTIAN, None, "ok"


def root_only(pki):
    leaf = forge.issue(pki.root, "leaf", pki.leaf_key, False)
    return changed(pki, certificate=leaf, cabundle=[pki.root.certificate])


def nameless(pki):
    region = pki.authority(pki.root, None, 1)
    instance = pki.authority(region, "instance", 0)
    leaf = forge.issue(instance, "leaf", pki.leaf_key, False)
    return changed(pki, certificate=leaf, cabundle=[pki.root.certificate, region.certificate, instance.certificate])


def wrong_bytes(pki):
    good = document(pki)
    yield "nothing", b"", NITRO, None, "empty"
    yield "64 KiB and one byte", good + bytes(65537 - len(good)), NITRO, None, "too-large"
    yield "payload over 16 KiB", changed(pki, more=bytes(16384)), NITRO, None, "too-large"
    for cut in (1, 5, 100, len(good) // 2, len(good) - 1):
        yield f"first {cut} bytes", good[:cut], NITRO, None, "cbor-truncated"
    yield "a byte too many", good + b"\0", NITRO, None, "cbor-trailing"
    yield "a byte too many in the payload", document(pki, cbor(fields(pki)) + b"\0"), NITRO, None, "cbor-trailing"
    yield "huge length", b"\x84\x5b" + b"\xff" * 8, NITRO, None, "cbor-truncated"
    yield "huge array", b"\x9b" + b"\xff" * 8, NITRO, None, "cbor-truncated"
    yield "nesting bomb", b"\x81" * 4000, NITRO, None, "cbor-too-deep"
    yield "nesting in a field", changed(pki, more=Raw(b"\x81" * 8 + b"\0")), NITRO, None, "cbor-too-deep"
    yield "sixty-five keys", changed(pki, more=Pairs((i, None) for i in range(65))), NITRO, None, "cbor-too-many-keys"
    yield "reserved head", b"\x1c", NITRO, None, "cbor-malformed"
    yield "indefinite byte string", changed(pki, nonce=Raw(b"\x5f\x41a\xff")), NITRO, None, "cbor-malformed"
    yield "module_id no UTF-8", changed(pki, module_id=Raw(b"\x62\xc3\x28")), NITRO, None, "cbor-bad-text"
    yield "module_id with a newline", changed(pki, module_id="i\n"), NITRO, None, "cbor-bad-text"
    yield "unknown text no UTF-8", changed(pki, more=Raw(b"\x61\xff")), NITRO, None, "cbor-bad-text"
    twice = fields(pki)
    twice.append(("nonce", b"other"))
    yield "nonce twice", document(pki, twice), NITRO, None, "cbor-duplicate-key"
    yield "PCR0 twice", changed(pki, pcrs=Pairs([(0, bytes(48)), (0, b"x" * 48)])), NITRO, None, "cbor-duplicate-key"
    yield "PCR0 twice, once wide", changed(pki, pcrs=Pairs([(0, bytes(48)), (Wide(0, 2), b"x" * 48)])), NITRO, None, \
        "cbor-duplicate-key"
    yield "unknown key twice inside", changed(pki, more=Pairs([("a", 1), ("a", 2)])), NITRO, None, "cbor-duplicate-key"


def wrong_envelope(pki, qingtian):
    payload = cbor(fields(pki))
    header = forge.protected()
    yield "tag 98", document(pki, tag=b"\xd8\x62"), NITRO, None, "cose-shape"
    yield "tag 18 twice", document(pki, tag=b"\xd2\xd2"), NITRO, None, "cose-shape"
    yield "a map", cbor({1: 2}), NITRO, None, "cose-shape"
    yield "three items", cbor([header, {}, payload]), NITRO, None, "cose-shape"
    yield "five items", cbor([header, {}, payload, bytes(96), 0]), NITRO, None, "cose-shape"
    yield "no payload", cbor([header, {}, None, bytes(96)]), NITRO, None, "cose-shape"
    yield "unprotected header", document(pki, unprotected={4: b"kid"}), NITRO, None, "cose-unprotected"
    yield "empty protected header", document(pki, header=b""), NITRO, None, "cose-protected"
    yield "empty protected map", document(pki, header=cbor({})), NITRO, None, "cose-protected"
    yield "crit", document(pki, header=cbor({1: -35, 2: [99]})), NITRO, None, "cose-protected"
    yield "another label", document(pki, header=cbor({4: b"kid"})), NITRO, None, "cose-protected"
    yield "a byte after the header", document(pki, header=header + b"\0"), NITRO, None, "cbor-trailing"
    for algorithm in (-7, -36, -8, 35, "ES384", None):
        yield f"algorithm {algorithm}", document(pki, header=cbor({1: algorithm})), NITRO, None, "cose-algorithm"
    yield "algorithm -1", document(pki, header=cbor({1: -1})), NITRO, None, "emulator-document"
    yield "certificate of zeros", changed(pki, certificate=bytes(64), cabundle=[bytes(64)]), NITRO, None, \
        "emulator-document"
    yield "empty payload", document(pki, b""), NITRO, None, "payload-shape"
    for size in (0, 64, 95, 97, 132):
        yield f"signature of {size} bytes", forge.envelope(header, payload, bytes(size)), NITRO, None, "signature-size"
    order = forge.P384_ORDER.to_bytes(48, "big")
    one = (1).to_bytes(48, "big")
    for label, signature in (("r = 0", bytes(48) + one), ("s = 0", one + bytes(48)), ("r = n", order + one),
                             ("s = n", one + order), ("all ones", b"\xff" * 96)):
        yield label, forge.envelope(header, payload, signature), NITRO, None, "signature-range"
    yield "r = s = 1", forge.envelope(header, payload, one + one), NITRO, None, "signature-invalid"
    yield "little-endian under nitro", document(pki, little_endian=True), NITRO, None, "signature-invalid"
    yield "one half little-endian", half_reversed(qingtian), QINGTIAN, None, "signature-invalid"
    yield "another key", document(pki, key=forge.p384()), NITRO, None, "signature-invalid"
    yield "header encoded again", forge.envelope(cbor(Pairs([(Wide(1, 1), -35)])), payload, document(pki)[-96:]), NITRO, \
        None, "signature-invalid"


def half_reversed(pki):
    good = document(pki)
    return good[:-96] + good[-96:-48][::-1] + good[-48:]


def wrong_fields(pki, qingtian):
    yield "payload an array", document(pki, cbor([1])), NITRO, None, "payload-shape"
    yield "payload with a number as key", document(pki, Pairs(list(fields(pki)) + [(1, 2)])), NITRO, None, "payload-shape"
    for field in ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"):
        yield f"{field} missing", changed(pki, **{field: ...}), NITRO, None, "field-missing"
        yield f"{field} null", changed(pki, **{field: None}), NITRO, None, "field-type"
    for field in ("public_key", "user_data", "nonce"):
        yield f"{field} text", changed(pki, **{field: "text"}), NITRO, None, "field-type"
        yield f"{field} of 1025 bytes", changed(pki, **{field: bytes(1025)}), NITRO, None, "field-size"
    yield "timestamp negative", changed(pki, timestamp=-1), NITRO, None, "field-type"
    yield "timestamp a float", changed(pki, timestamp=1.5), NITRO, None, "field-type"
    yield "timestamp zero", changed(pki, timestamp=0), NITRO, None, "field-size"
    yield "timestamp 2^63", changed(pki, timestamp=1 << 63), NITRO, None, "field-size"
    yield "module_id empty", changed(pki, module_id=""), NITRO, None, "field-size"
    yield "no PCRs", changed(pki, pcrs={}), NITRO, None, "field-size"
    yield "certificate empty", changed(pki, certificate=b""), NITRO, None, "field-size"
    yield "certificate over 1 KiB", changed(pki, certificate=bytes([1]) * 1025), NITRO, None, "field-size"
    yield "bundle empty", changed(pki, cabundle=[]), NITRO, None, "field-size"
    yield "public key empty under nitro", changed(pki, public_key=b""), NITRO, None, "field-size"
    yield "qingtian 4097 bytes", changed(qingtian, user_data=bytes(4097)), QINGTIAN, None, "field-size"
    yield "bundle of nine", changed(pki, cabundle=[pki.root.certificate] * 9), NITRO, None, "chain-too-long"
    for digest in ("sha384", "SHA256", "SHA512", ""):
        yield f"digest {digest}", changed(pki, digest=digest), NITRO, None, "digest-unknown"
    for index in (32, -1, "0", b"0"):
        yield f"PCR index {index}", changed(pki, pcrs={index: bytes(48)}), NITRO, None, "pcr-index"
    for size in (0, 47, 49, 96):
        yield f"PCR of {size} bytes", changed(pki, pcrs={0: bytes(size)}), NITRO, None, "pcr-size"
    yield "qingtian PCR of 32 bytes", changed(qingtian, pcrs={0: b"x" * 32}), QINGTIAN, None, "pcr-size"
    yield "PCR text", changed(pki, pcrs={0: "x" * 48}), NITRO, None, "field-type"
    yield "both names of the key", changed(qingtian, pubkey=b"k"), QINGTIAN, None, "field-ambiguous"


def with_leaf(pki, **rules):
    key = rules.pop("key", pki.leaf_key)
    leaf = forge.issue(pki.instance, "leaf", key, rules.pop("authority", False), **rules)
    return changed(pki, certificate=leaf)


def with_instance(pki, **rules):
    """A whole last authority that breaks a rule, and a leaf of its."""
    authority = rules.pop("authority", True)
    instance = forge.Authority("instance", forge.p384())
    instance.certificate = forge.issue(pki.zone, "instance", instance.key, authority, **rules)
    leaf = forge.issue(instance, "leaf", pki.leaf_key, False)
    return changed(pki, certificate=leaf, cabundle=pki.bundle()[:3] + [instance.certificate])


def signature_flipped(der):
    return der[:-1] + bytes([der[-1] ^ 1])


def wrong_certificates(pki):
    yield "certificate garbage", changed(pki, certificate=b"\x30\x03abc"), NITRO, None, "certificate-malformed"
    yield "a byte after the leaf", changed(pki, certificate=pki.leaf + b"\0"), NITRO, None, "certificate-malformed"
    yield "leaf cut", changed(pki, certificate=pki.leaf[:-1]), NITRO, None, "certificate-malformed"
    yield "leaf without extensions", with_leaf(pki, usage=None, constraints=False), NITRO, None, "certificate-malformed"
    yield "leaf signed SHA-256", with_leaf(pki, digest=hashes.SHA256()), NITRO, None, "certificate-algorithm"
    for curve in (ec.SECP256R1(), ec.SECP521R1(), ec.SECP224R1(), ec.BrainpoolP384R1()):
        yield f"leaf on {curve.name}", with_leaf(pki, key=ec.generate_private_key(curve)), NITRO, None, "certificate-key"
    yield "leaf RSA", with_leaf(pki, key=rsa.generate_private_key(public_exponent=65537, key_size=2048)), NITRO, None, \
        "certificate-key"
    unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    yield "unknown critical extension", with_leaf(pki, extensions=[(unknown, True)]), NITRO, None, \
        "certificate-extension"
    yield "unknown extension", with_leaf(pki, extensions=[(unknown, False)]), NITRO, None, "ok"
    yield "leaf is an authority", with_leaf(pki, authority=True, usage=forge.key_usage(
        digital_signature=True, key_cert_sign=True)), NITRO, None, "leaf-is-ca"
    yield "leaf may not sign", with_leaf(pki, usage=forge.key_usage(key_agreement=True)), NITRO, None, "leaf-key-usage"
    yield "leaf without key usage", with_leaf(pki, usage=None), NITRO, None, "leaf-key-usage"
    yield "issuer is no authority", with_instance(pki, authority=False, usage=forge.key_usage(key_cert_sign=True)), \
        NITRO, None, "chain-not-ca"
    yield "issuer without constraints", with_instance(pki, constraints=False), NITRO, None, "chain-not-ca"
    yield "issuer may not sign", with_instance(pki, usage=forge.key_usage(digital_signature=True)), NITRO, None, \
        "chain-key-usage"
    yield "issuer without key usage", with_instance(pki, usage=None), NITRO, None, "chain-key-usage"


def wrong_chain(pki):
    bundle = pki.bundle()
    other = forge.Pki(NITRO)
    impostor = forge.Pki(NITRO, forge.make_root(pki.root.subject))
    yield "another root", document(other), NITRO, None, "root-not-pinned"
    yield "root of the same name", document(impostor), NITRO, None, "root-not-pinned"
    yield "pinned root before an impostor's chain", changed(impostor, cabundle=[bundle[0]] + impostor.bundle()[1:]), \
        NITRO, None, "chain-signature"
    yield "reversed bundle", changed(pki, cabundle=bundle[::-1]), NITRO, None, "root-not-pinned"
    yield "one authority missing", changed(pki, cabundle=bundle[:2] + bundle[3:]), NITRO, None, "chain-order"
    yield "one authority twice", changed(pki, cabundle=bundle[:3] + bundle[2:]), NITRO, None, "chain-order"
    yield "two authorities swapped", changed(pki, cabundle=[bundle[0], bundle[2], bundle[1], bundle[3]]), NITRO, None, \
        "chain-order"
    yield "leaf of another instance", changed(pki, certificate=other.leaf), NITRO, None, "chain-signature"
    yield "leaf's signature flipped", changed(pki, certificate=signature_flipped(pki.leaf)), NITRO, None, \
        "chain-signature"
    yield "region's signature flipped", changed(pki, cabundle=[bundle[0], signature_flipped(bundle[1])] + bundle[2:]), \
        NITRO, None, "chain-signature"
    below = forge.Pki.authority(pki.instance, "below", None)
    leaf = forge.issue(below, "leaf", pki.leaf_key, False)
    yield "path too long", changed(pki, certificate=leaf, cabundle=bundle + [below.certificate]), NITRO, None, \
        "chain-path-length"


def wrong_times(pki):
    good = document(pki)
    yield "a second too early", good, NITRO, NOW - HOUR - datetime.timedelta(seconds=1), "not-yet-valid"
    yield "a second too late", good, NITRO, NOW + 2 * HOUR + datetime.timedelta(seconds=1), "expired"
    yield "long ago", good, NITRO, datetime.datetime(1971, 1, 1, tzinfo=forge.UTC), "not-yet-valid"
    yield "leaf not yet valid", with_leaf(pki, begin=NOW + datetime.timedelta(seconds=1)), NITRO, None, "not-yet-valid"
    yield "leaf expired", with_leaf(pki, end=NOW - datetime.timedelta(seconds=1)), NITRO, None, "expired"
    yield "issuer expired", with_instance(pki, end=NOW - datetime.timedelta(seconds=1)), NITRO, None, "expired"


def all_cases(root):
    pki, qingtian = forge.Pki(NITRO, root), forge.Pki(QINGTIAN, root)
    yield from right(pki, qingtian)
    yield from wrong_bytes(pki)
    yield from wrong_envelope(pki, qingtian)
    yield from wrong_fields(pki, qingtian)
    yield from wrong_certificates(pki)
    yield from wrong_chain(pki)
    yield from wrong_times(pki)
