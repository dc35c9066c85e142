# SPDX-License-Identifier: Apache-2.0
"""Both sides of every limit, and certificates that no library would make: cases in the form of attest_cases.

Where the texts leave it open, the case says what was chosen: a serial number of any sign and a certificate's twin
signature are accepted (the issuer signed them); names are compared byte by byte; an extension that is critical and not
looked at is refused, extended key usage and name constraints too; a default that DER leaves out may not be written.
"""
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils

import attest_forge as forge
from attest_forge import ANY, NITRO, NOW, QINGTIAN, Indefinite, Pairs, Raw, Wide, cbor, changed, document, fields

MS = forge.seconds(NOW) * 1000
HOURS = 3600 * 1000


# --- DER by hand ---

def tlv(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    length = bytes([n]) if n < 128 else bytes([0x81, n]) if n < 256 else bytes([0x82]) + n.to_bytes(2, "big")
    return bytes([tag]) + length + body


def seq(*parts):
    return tlv(0x30, *parts)


def time_of(text):
    return tlv(0x17 if len(text) == 13 else 0x18, text.encode())


def extension(oid, value, critical=None):
    flag = b"" if critical is None else tlv(1, bytes([critical]))
    return seq(tlv(6, oid), flag, tlv(4, value))


SHA384 = seq(tlv(6, bytes.fromhex("2a8648ce3d040303")))
SHA384_NULL = seq(tlv(6, bytes.fromhex("2a8648ce3d040303")), b"\x05\x00")
SHA256 = seq(tlv(6, bytes.fromhex("2a8648ce3d040302")))
KEY_USAGE, CONSTRAINTS, FILLER = b"\x55\x1d\x0f", b"\x55\x1d\x13", b"\x2b\x06\x01\x04\x01\x86\x8d\x1f\x02"
MAY_SIGN = extension(KEY_USAGE, b"\x03\x02\x07\x80")
NO_CA = extension(CONSTRAINTS, b"\x30\x00", 255)
VALIDITY = seq(time_of("260601110000Z"), time_of("260601140000Z"))


def spki(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def point_of(key):
    return key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def named_curve(point, unused=0):
    return seq(seq(tlv(6, bytes.fromhex("2a8648ce3d0201")), tlv(6, bytes.fromhex("2b81040022"))),
               tlv(3, bytes([unused]), point))


def explicit_curve(key):
    """P-384 spelt out (RFC 3279), generator and all; libraries that accept it may be given another generator."""
    def number(value):
        return tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))
    p = 2 ** 384 - 2 ** 128 - 2 ** 96 + 2 ** 32 - 1
    curve = seq(tlv(4, (p - 3).to_bytes(48, "big")), tlv(4, bytes.fromhex(
        "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef")))
    parameters = seq(number(1), seq(tlv(6, bytes.fromhex("2a8648ce3d0101")), number(p)), curve, tlv(4, point_of(key)),
                     number(forge.P384_ORDER), number(1))
    return seq(seq(tlv(6, bytes.fromhex("2a8648ce3d0201")), parameters), tlv(3, b"\0", point_of(key)))


def made_leaf(pki, version=b"\xa0\x03\x02\x01\x02", serial=b"\x02\x01\x07", inner=SHA384, outer=SHA384, issuer=None,
              validity=VALIDITY, subject=None, key=None, extensions=(NO_CA, MAY_SIGN), unique=b"", tail=b"",
              signature=None, unused=0):
    """A leaf signed by the right authority whatever it says; each argument is the DER of that part."""
    listed = b"" if extensions is None else tlv(0xa3, seq(*extensions))
    inside = seq(version, serial, inner, issuer or forge.name(pki.instance.subject).public_bytes(), validity,
                 subject or forge.name("leaf").public_bytes(), key or spki(pki.leaf_key), unique, listed, tail)
    signed = pki.instance.key.sign(inside, ec.ECDSA(hashes.SHA384()))
    if signature:
        signed = signature(*utils.decode_dss_signature(signed))
    return seq(inside, outer, tlv(3, bytes([unused]), signed))


def leaf_of_size(pki, size):
    """A good leaf of exactly that many bytes."""
    filler = size - 600
    while True:
        made = made_leaf(pki, extensions=(NO_CA, MAY_SIGN, extension(FILLER, bytes(filler))))
        if len(made) == size:
            return made
        filler += size - len(made)


def with_made(pki, **parts):
    return changed(pki, certificate=made_leaf(pki, **parts))


def numbers(r, s):
    return seq(tlv(2, r), tlv(2, s))


def big(value):
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


# --- Cases ---

def leaf_parts(pki):
    def case(what, expected, **parts):
        return f"leaf made by hand: {what}", with_made(pki, **parts), NITRO, None, expected
    yield case("as it should be", "ok")
    for what, serial, expected in (("zero", b"\x02\x01\x00", "ok"), ("negative", b"\x02\x01\x80", "ok"),
                                   ("of 21 bytes", tlv(2, b"\0" + b"\xff" * 20), "ok"),
                                   ("of 22 bytes", tlv(2, b"\1" + bytes(21)), "certificate-malformed"),
                                   ("padded", b"\x02\x02\x00\x01", "certificate-malformed"),
                                   ("empty", b"\x02\x00", "certificate-malformed")):
        yield case(f"serial {what}", expected, serial=serial)
    yield case("X.509 v1", "certificate-malformed", version=b"", extensions=None)
    yield case("X.509 v2", "certificate-malformed", version=b"\xa0\x03\x02\x01\x01")
    yield case("X.509 v4", "certificate-malformed", version=b"\xa0\x03\x02\x01\x03")
    yield case("algorithm inside is another", "certificate-algorithm", inner=SHA256)
    yield case("algorithm outside is another", "certificate-algorithm", outer=SHA256)
    yield case("algorithm with NULL", "certificate-algorithm", inner=SHA384_NULL, outer=SHA384_NULL)
    yield case("unique id", "certificate-malformed", unique=b"\x81\x02\0\1")
    yield case("a byte after the extensions", "certificate-malformed", tail=b"\0")
    yield case("an element after the extensions", "certificate-malformed", tail=b"\x05\x00")
    yield case("signature with unused bits", "certificate-malformed", unused=1)
    yield case("issuer in another string type", "chain-order",
               issuer=forge.name(pki.instance.subject).public_bytes().replace(b"\x0c", b"\x13"))
    yield case("issuer of another name", "chain-order", issuer=forge.name("instance").public_bytes())
    yield case("issued itself by name", "chain-order", subject=forge.name(pki.instance.subject).public_bytes())
    for what, key in (("explicit curve parameters", explicit_curve(pki.leaf_key)),
                      ("compressed point", named_curve(bytes([2]) + point_of(pki.leaf_key)[1:49])),
                      ("hybrid point", named_curve(bytes([6]) + point_of(pki.leaf_key)[1:])),
                      ("point at infinity", named_curve(b"\0")), ("no point", named_curve(b"")),
                      ("point with unused bits", named_curve(point_of(pki.leaf_key), 1))):
        yield case(what, "certificate-key", key=key)
    yield case("point off the curve", "signature-invalid", key=named_curve(b"\x04" + b"\x01" * 96))
    yield case("coordinates not below p", "signature-invalid", key=named_curve(b"\x04" + b"\xff" * 96))


def leaf_times(pki):
    for what, begin, end, expected in (
            ("GeneralizedTime", "20260601110000Z", "20260601140000Z", "ok"),
            ("no end (RFC 5280, 4.1.2.5)", "260601110000Z", "99991231235959Z", "ok"),
            ("UTCTime of 1950", "500101000000Z", "260601140000Z", "ok"),
            ("UTCTime of 2049", "260601110000Z", "491231235959Z", "ok"),
            ("one second, this one", "260601120000Z", "260601120000Z", "ok"),
            ("end before begin", "260601130000Z", "260601110000Z", "not-yet-valid"),
            ("no seconds", "2606011100Z", "260601140000Z", "certificate-malformed"),
            ("an offset", "260601110000+0000", "260601140000Z", "certificate-malformed"),
            ("a fraction", "20260601110000.5Z", "20260601140000Z", "certificate-malformed"),
            ("February 29", "260229110000Z", "260601140000Z", "certificate-malformed"),
            ("hour 24", "260601110000Z", "260601240000Z", "certificate-malformed"),
            ("second 60", "260601110060Z", "260601140000Z", "certificate-malformed"),
            ("month 0", "260001110000Z", "260601140000Z", "certificate-malformed")):
        yield f"validity: {what}", with_made(pki, validity=seq(time_of(begin), time_of(end))), NITRO, None, expected
    yield "a millisecond too early", changed(pki, timestamp=MS - HOURS - 1), NITRO, None, "not-yet-valid"
    yield "the first millisecond", changed(pki, timestamp=MS - HOURS), NITRO, None, "ok"
    yield "the last millisecond", changed(pki, timestamp=MS + 2 * HOURS), NITRO, None, "ok"
    yield "a millisecond too late", changed(pki, timestamp=MS + 2 * HOURS + 1), NITRO, None, "expired"
    yield "the root expired", changed(pki), NITRO, NOW + datetime.timedelta(days=3651), "expired"


def leaf_extensions(pki):
    for what, extensions, expected in (
            ("none", (), "certificate-malformed"),
            ("usage alone", (MAY_SIGN,), "ok"),
            ("usage critical", (NO_CA, extension(KEY_USAGE, b"\x03\x02\x07\x80", 255)), "ok"),
            ("explicitly not critical", (NO_CA, extension(KEY_USAGE, b"\x03\x02\x07\x80", 0)), "certificate-malformed"),
            ("half critical", (NO_CA, extension(KEY_USAGE, b"\x03\x02\x07\x80", 1)), "certificate-malformed"),
            ("usage twice", (NO_CA, MAY_SIGN, MAY_SIGN), "certificate-extension"),
            ("constraints twice", (NO_CA, NO_CA, MAY_SIGN), "certificate-extension"),
            ("usage without bits", (NO_CA, extension(KEY_USAGE, b"\x03\x01\x00")), "certificate-malformed"),
            ("usage with unused bits set", (NO_CA, extension(KEY_USAGE, b"\x03\x02\x07\x81")), "certificate-malformed"),
            ("usage followed by a byte", (NO_CA, extension(KEY_USAGE, b"\x03\x02\x07\x80\0")), "certificate-malformed"),
            ("usage of nine bits", (NO_CA, extension(KEY_USAGE, b"\x03\x03\x07\x80\x80")), "ok"),
            ("path length without CA", (extension(CONSTRAINTS, b"\x30\x03\x02\x01\x00"), MAY_SIGN), "certificate-malformed"),
            ("CA half true", (extension(CONSTRAINTS, b"\x30\x03\x01\x01\x01"), MAY_SIGN), "certificate-malformed"),
            ("CA false, said", (extension(CONSTRAINTS, b"\x30\x03\x01\x01\x00", 255), MAY_SIGN), "certificate-malformed"),
            ("CA true", (extension(CONSTRAINTS, b"\x30\x03\x01\x01\xff", 255), MAY_SIGN), "leaf-is-ca"),
            ("padded OID", (NO_CA, MAY_SIGN, extension(b"\x2b\x80\x01", b"")), "certificate-malformed")):
        yield f"leaf's extensions: {what}", with_made(pki, extensions=extensions), NITRO, None, expected
    usage = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CODE_SIGNING])
    for critical, expected in ((True, "certificate-extension"), (False, "ok")):
        leaf = forge.issue(pki.instance, "leaf", pki.leaf_key, False, extensions=[(usage, critical)])
        yield f"extended key usage, critical {critical}", changed(pki, certificate=leaf), NITRO, None, expected


def leaf_signatures(pki):
    order = forge.P384_ORDER
    for what, signature, expected in (
            ("twin", lambda r, s: utils.encode_dss_signature(r, order - s), "ok"),
            ("r = 0", lambda r, s: numbers(b"\0", big(s)), "certificate-algorithm"),
            ("s = 0", lambda r, s: numbers(big(r), b"\0"), "certificate-algorithm"),
            ("s = n", lambda r, s: numbers(big(r), big(order)), "certificate-algorithm"),
            ("r + n", lambda r, s: numbers(big(r + order), big(s)), "certificate-algorithm"),
            ("r negative", lambda r, s: numbers(b"\xff", big(s)), "certificate-algorithm"),
            ("r padded", lambda r, s: numbers(b"\0\0" + big(r), big(s)), "certificate-algorithm"),
            ("three numbers", lambda r, s: seq(tlv(2, big(r)), tlv(2, big(s)), tlv(2, b"\1")), "certificate-algorithm"),
            ("a byte more", lambda r, s: utils.encode_dss_signature(r, s) + b"\0", "certificate-algorithm"),
            ("raw", lambda r, s: r.to_bytes(48, "big") + s.to_bytes(48, "big"), "certificate-algorithm"),
            ("nothing", lambda r, s: b"", "certificate-algorithm"),
            ("halves exchanged", lambda r, s: utils.encode_dss_signature(s, r), "chain-signature")):
        yield f"leaf's signature: {what}", with_made(pki, signature=signature), NITRO, None, expected
    inside = made_leaf(pki)[4:]
    yield "leaf in indefinite length", changed(pki, certificate=b"\x30\x80" + inside + b"\0\0"), NITRO, None, \
        "certificate-malformed"
    yield "leaf in a longer length", changed(pki, certificate=b"\x30\x83\0" + made_leaf(pki)[2:]), NITRO, None, \
        "certificate-malformed"


def bundles(pki, qingtian):
    bundle = pki.bundle()
    yield "bundle without its root", changed(pki, cabundle=bundle[1:]), NITRO, None, "root-not-pinned"
    yield "root twice", changed(pki, cabundle=bundle[:1] + bundle), NITRO, None, "chain-order"
    yield "root at both ends", changed(pki, cabundle=bundle + bundle[:1]), NITRO, None, "chain-order"
    yield "leaf in the bundle", changed(pki, cabundle=bundle + [pki.leaf]), NITRO, None, "chain-order"
    yield "somebody else's authority behind", changed(pki, cabundle=bundle + [forge.make_root("x").certificate]), NITRO, \
        None, "chain-order"
    yield "the root signed for itself as leaf", changed(pki, certificate=bundle[0], cabundle=bundle[:1]), NITRO, None, \
        "chain-order"
    itself = forge.Pki.authority(pki.zone, pki.zone.subject, None)
    leaf = forge.issue(itself, "leaf", pki.leaf_key, False)
    yield "an authority of its issuer's name", changed(pki, certificate=leaf, cabundle=bundle[:3] + [itself.certificate]), \
        NITRO, None, "chain-order"
    for curve in (ec.SECP256R1(), ec.SECP521R1()):
        yield f"authority on {curve.name}", below(pki, ec.generate_private_key(curve)), NITRO, None, "certificate-key"
    yield "authority with an RSA key", below(pki, rsa.generate_private_key(public_exponent=65537, key_size=2048)), NITRO, \
        None, "certificate-key"
    yield "authority's usage not critical", below(pki, forge.p384(), critical=False), NITRO, None, "ok"
    yield "authority signed SHA-256", below(pki, forge.p384(), digest=hashes.SHA256()), NITRO, None, "certificate-algorithm"
    yield "authority signed SHA-512", below(pki, forge.p384(), digest=hashes.SHA512()), NITRO, None, "certificate-algorithm"
    for profile, made, limit in ((NITRO, pki, 1024), (QINGTIAN, qingtian, 4096)):
        for size, expected in ((limit, "ok"), (limit + 1, "field-size")):
            yield f"leaf of {size} bytes", changed(made, certificate=leaf_of_size(made, size)), profile, None, expected
    for what, items, expected in (("an empty one", [b""], "field-size"), ("1025 bytes", [bytes(1025)], "field-size"),
                                  ("text", ["x"], "field-type"), ("null", [None], "field-type"),
                                  ("an array", [[b"x"]], "field-type"), ("zeros", [bytes(64)], "certificate-malformed")):
        yield f"bundle with {what}", changed(pki, cabundle=bundle + items), NITRO, None, expected
    for what, value in (("a map", {0: bundle[0]}), ("bytes", bundle[0]), ("text", "x")):
        yield f"bundle is {what}", changed(pki, cabundle=value), NITRO, None, "field-type"


def below(pki, key, **rules):
    """The last authority has that key."""
    instance = forge.Authority("instance", key)
    instance.certificate = forge.issue(pki.zone, "instance", key, True, **rules)
    leaf = forge.issue(instance, "leaf", pki.leaf_key, False)
    return changed(pki, certificate=leaf, cabundle=pki.bundle()[:3] + [instance.certificate])


def items(pki):
    """The CBOR of the payload."""
    def more(what, encoded, expected):
        return f"a field with {what}", changed(pki, more=Raw(encoded)), NITRO, None, expected
    yield more("seven arrays", b"\x81" * 6 + b"\x80", "ok")
    yield more("eight arrays", b"\x81" * 7 + b"\x80", "cbor-too-deep")
    yield more("tags as deep", b"\xc1" * 8 + b"\0", "cbor-too-deep")
    for major in range(8):
        for low in (28, 29, 30):
            yield more(f"head {major << 5 | low:#x}", bytes([major << 5 | low]), "cbor-malformed")
    for first in (0x1f, 0x3f, 0xdf, 0xff):
        yield more(f"head {first:#x}", bytes([first]), "cbor-malformed")
    yield more("indefinite text", b"\x7f\x61a\xff", "cbor-malformed")
    yield more("a break inside an array of one", b"\x81\xff", "cbor-malformed")
    yield more("a break after a key", b"\xbf\x61a\xff", "cbor-malformed")
    yield more("true in two bytes", b"\xf8\x15", "cbor-malformed")
    yield more("simple value 32", b"\xf8\x20", "ok")
    yield more("half, single and double", b"\x83\xf9\0\0\xfa\0\0\0\0\xfb" + bytes(8), "ok")
    yield more("64 keys", cbor(Pairs((i, None) for i in range(64))), "ok")
    yield more("a list as a key", b"\xa1\x80\0", "cbor-malformed")
    yield more("true as a key", b"\xa1\xf5\0", "cbor-malformed")
    yield more("text and bytes alike as keys", b"\xa2\x61a\0\x41a\0", "ok")
    yield more("0 and -1 as keys", b"\xa2\0\0\x20\0", "ok")
    yield more("-1 twice, once wide", b"\xa2\x20\0\x38\0\0", "cbor-duplicate-key")
    yield more("bytes twice as keys", b"\xa2\x41a\0\x58\1a\0", "cbor-duplicate-key")
    twice = Pairs(list(fields(pki)) + [(Raw(b"\x78\x05nonce"), b"other")])
    yield "nonce twice, once with a wide length", document(pki, twice), NITRO, None, "cbor-duplicate-key"
    yield "payload with a tag", document(pki, b"\xd9\xd9\xf7" + cbor(fields(pki))), NITRO, None, "payload-shape"
    yield "payload without its end", document(pki, cbor(fields(pki))[:-1]), NITRO, None, "cbor-truncated"
    endless = fields(pki)
    endless.indefinite = True
    yield "payload without its break", document(pki, cbor(endless)[:-1]), NITRO, None, "cbor-truncated"
    for text in (b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"):
        yield f"module_id {text.hex()}", changed(pki, module_id=Raw(bytes([0x60 + len(text)]) + text)), NITRO, None, \
            "cbor-bad-text"
    for text in ("\0", "\x1b[2J", "\x7f", "\u009b2J"):
        yield f"module_id {ascii(text)}", changed(pki, module_id=text), NITRO, None, "cbor-bad-text"
    yield "module_id \u00e9", changed(pki, module_id="\u00e9\u00a0"), NITRO, None, "ok"


def envelopes(pki, qingtian):
    payload, header = cbor(fields(pki)), forge.protected()
    signature = document(pki, payload)[-96:]
    for what, four in (("header a text", ["x", {}, payload, signature]), ("header null", [None, {}, payload, signature]),
                       ("header a map", [{1: -35}, {}, payload, signature]),
                       ("unprotected null", [header, None, payload, signature]),
                       ("unprotected an array", [header, [], payload, signature]),
                       ("unprotected bytes", [header, b"", payload, signature]),
                       ("payload a map", [header, {}, Raw(payload), signature]),
                       ("payload a text", [header, {}, "x", signature]),
                       ("signature a text", [header, {}, payload, "x" * 96]),
                       ("signature null", [header, {}, payload, None])):
        yield what, cbor(four), NITRO, None, "cose-shape"
    for what, encoded, expected in (
            ("indefinite", b"\xbf\x01\x38\x22\xff", "ok"), ("wide", forge.protected(QINGTIAN), "ok"),
            ("twice", b"\xa2\x01\x38\x22\x01\x38\x22", "cbor-duplicate-key"),
            ("twice, once wide", b"\xa2\x01\x38\x22\x18\x01\x38\x22", "cbor-duplicate-key"),
            ("packed twice", cbor(header), "cose-protected"), ("an array", b"\x82\x01\x38\x22", "cose-protected"),
            ("label 1 as text", b"\xa1\x611\x38\x22", "cose-protected"), ("label -1", b"\xa1\x20\x38\x22", "cose-protected"),
            ("label alg", b"\xa1\x63alg\x38\x22", "cose-protected"), ("null", b"\xf6", "cose-protected"),
            ("algorithm a float", b"\xa1\x01\xf9\xd0\x60", "cose-algorithm"),
            ("algorithm a big number", b"\xa1\x01\xc3\x41\x22", "cose-algorithm"),
            ("algorithm 34", b"\xa1\x01\x18\x22", "cose-algorithm"), ("algorithm bytes", b"\xa1\x01\x41\x22", "cose-algorithm"),
            ("algorithm and an unknown label", cbor(Pairs([(1, -35), (99, 0)])), "cose-protected"),
            ("unknown label and algorithm", cbor(Pairs([(99, 0), (1, -35)])), "cose-protected"),
            ("cut", b"\xa1\x01\x38", "cbor-truncated"), ("indefinite without end", b"\xbf\x01\x38\x22", "cbor-truncated")):
        yield f"protected header {what}", document(pki, payload, header=encoded), NITRO, None, expected
    yield "unprotected empty, indefinite", document(pki, unprotected=Raw(b"\xbf\xff")), NITRO, None, "ok"
    yield "tag 18 in nine bytes", document(pki, tag=b"\xdb" + (18).to_bytes(8, "big")), NITRO, None, "ok"
    for tag in (b"\xd9\xd9\xf7", b"\xd9\xd9\xf7\xd2", b"\xd1", b"\xc0"):
        yield f"tag {tag.hex()}", document(pki, tag=tag), NITRO, None, "cose-shape"
    yield "packed as bytes", cbor(document(pki)), NITRO, None, "cose-shape"
    yield "hexadecimal", document(pki).hex().encode(), NITRO, None, "cbor-trailing"
    for place in range(4):
        four = [header, {}, payload, signature]
        if place != 1:
            four[place] = Raw(b"\x5f" + cbor(four[place]) + b"\xff")
            yield f"item {place} in pieces", cbor(four), NITRO, None, "cbor-malformed"
    for profile, made, limit in ((NITRO, pki, 16384), (QINGTIAN, qingtian, 32768)):
        for size, expected in ((limit, "ok"), (limit + 1, "too-large")):
            yield f"payload of {size} bytes", document(made, payload_of(made, size)), profile, None, expected
    yield "payload of 16385 bytes under any", document(qingtian, payload_of(qingtian, 16385)), ANY, None, "ok"
    for what, halves, expected in (("zeros", bytes(96), "signature-range"), ("ones", b"\xff" * 96, "signature-range"),
                                   ("one and one", (b"\1" + bytes(47)) * 2, "signature-invalid")):
        yield f"qingtian signature: {what}", document(qingtian)[:-96] + halves, QINGTIAN, None, expected
    good = document(qingtian)
    yield "only s reversed", good[:-48] + good[-48:][::-1], QINGTIAN, None, "signature-invalid"
    yield "halves exchanged", good[:-96] + good[-48:] + good[-96:-48], QINGTIAN, None, "signature-invalid"
    yield "qingtian under nitro", good, NITRO, None, "field-size"  # its empty public key


def payload_of(pki, size):
    filler = size - len(cbor(fields(pki, more=bytes(1000)))) + 1000
    return cbor(fields(pki, more=bytes(filler)))


def values(pki, qingtian):
    for size in (31, 33, 63, 65):
        yield f"PCR of {size} bytes", changed(pki, pcrs={0: bytes(size)}), NITRO, None, "pcr-size"
    for size, expected in ((47, "pcr-size"), (48, "ok"), (49, "pcr-size"), (64, "pcr-size")):
        yield f"qingtian PCR of {size} bytes", changed(qingtian, pcrs={0: b"x" * size}), QINGTIAN, None, expected
    yield "PCR31 alone", changed(pki, pcrs={31: b"x" * 48}), NITRO, None, "ok"
    yield "33 PCRs", changed(pki, pcrs=Pairs((i, b"x" * 48) for i in range(33))), NITRO, None, "pcr-index"
    for index in (Wide(32, 8), 1 << 32, (1 << 64) - 1, None):
        expected = "cbor-malformed" if index is None else "pcr-index"
        yield f"PCR index {index}", changed(pki, pcrs=Pairs([(index, b"x" * 48)])), NITRO, None, expected
    for value in ([b"x" * 48], None, b"x" * 48):
        yield f"PCRs {type(value).__name__}", changed(pki, pcrs=value), NITRO, None, "field-type"
    yield "PCR null", changed(pki, pcrs={0: None}), NITRO, None, "field-type"
    at = datetime.datetime.fromtimestamp(MS // 1000, forge.UTC)
    yield "timestamp one", changed(pki, timestamp=1), NITRO, at, "ok"
    yield "timestamp in its shortest form", changed(pki, timestamp=MS), NITRO, None, "ok"
    yield "timestamp the largest", changed(pki, timestamp=(1 << 63) - 1), NITRO, at, "ok"
    yield "timestamp the largest, at its own time", changed(pki, timestamp=(1 << 63) - 1), NITRO, None, "expired"
    for what, encoded in (("a tag", b"\xc1\x1a" + (MS // 1000).to_bytes(4, "big")), ("a big number", b"\xc2\x41\x07"),
                          ("text", b"\x611"), ("undefined", b"\xf7"), ("true", b"\xf5")):
        yield f"timestamp {what}", changed(pki, timestamp=Raw(encoded)), NITRO, None, "field-type"
    for field in ("module_id", "digest"):
        yield f"{field} bytes", changed(pki, **{field: b"SHA384"}), NITRO, None, "field-type"
    for digest in ("SHA384 ", "SHA384\0", " SHA384", "SHA-384"):
        yield f"digest {ascii(digest)}", changed(pki, digest=digest), NITRO, None, "digest-unknown"
    for what, value in (("text", "x"), ("an array", [b"x"])):
        yield f"certificate {what}", changed(pki, certificate=value), NITRO, None, "field-type"
    for field in ("user_data", "nonce"):
        yield f"{field} empty under nitro", changed(pki, **{field: b""}), NITRO, None, "ok"
    for field in ("public_key", "user_data", "nonce"):
        for value in (b"\xf7", b"\xf4", b"\x00", b"\x80", b"\xa0", b"\xd8\x18\x41x"):
            yield f"{field} {value.hex()}", changed(pki, **{field: Raw(value)}), NITRO, None, "field-type"
        yield f"qingtian {field} null", changed(qingtian, **{field: None}), QINGTIAN, None, "ok"
        for size, expected in ((4096, "ok"), (4097, "field-size")):
            yield f"qingtian {field} of {size} bytes", changed(qingtian, **{field: bytes(size)}), QINGTIAN, None, expected
    yield "both names of the key, both null", changed(qingtian, public_key=None, pubkey=None), QINGTIAN, None, \
        "field-ambiguous"


def all_edges(root):
    pki, qingtian = forge.Pki(NITRO, root), forge.Pki(QINGTIAN, root)
    yield from leaf_parts(pki)
    yield from leaf_times(pki)
    yield from leaf_extensions(pki)
    yield from leaf_signatures(pki)
    yield from bundles(pki, qingtian)
    yield from items(pki)
    yield from envelopes(pki, qingtian)
    yield from values(pki, qingtian)
