# SPDX-License-Identifier: Apache-2.0
"""Thousands of mutated documents, judged by the library and by a second verifier. Never valid where that one says no.

Many mutations are signed again with the right key: otherwise all would end at the signature, and the parsers behind it
would never disagree.
"""
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

try:
    import attest_forge as forge
    import attest_oracle as oracle
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
except ImportError as missing:
    print(f"1..0 # SKIP {missing}: install python3-cryptography and python3-cbor2")
    sys.exit(0)

BUILD = pathlib.Path(os.environ["QT_BUILD_ROOT"])
ROUNDS = int(os.environ.get("QT_DIFFERENTIAL_ROUNDS", "250"))
SEED = int(os.environ.get("QT_DIFFERENTIAL_SEED", "5"))
chance = random.Random(SEED)
ES384 = bytes.fromhex("300a06082a8648ce3d040303")


def mutate(data):
    """One to three small damages."""
    data = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(len(data)) if data else 0
        kind = chance.randrange(6)
        if kind == 0 and data:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1 and data:
            data[at] = chance.choice((0x00, 0xff, 0x80, 0x7f, 0xf6, 0x5f, 0x9f, 0xbf, 0x30, chance.randrange(256)))
        elif kind == 2:
            data[at:at] = bytes([chance.randrange(256)])
        elif kind == 3 and data:
            del data[at]
        elif kind == 4 and data:
            end = min(len(data), at + chance.randrange(1, 40))
            data[at:end] = data[at:end][::-1]
        elif data:
            end = min(len(data), at + chance.randrange(1, 40))
            data[at:at] = data[at:end]
    return bytes(data)


def tlv(tag, body):
    n = len(body)
    length = bytes([n]) if n < 128 else bytes([0x81, n]) if n < 256 else bytes([0x82]) + n.to_bytes(2, "big")
    return bytes([tag]) + length + body


def reissued(certificate, issuer_key):
    """The certificate with a damaged inside, correctly signed."""
    inside = x509.load_der_x509_certificate(certificate).tbs_certificate_bytes
    # Damage the content and keep its length right, or nothing behind the first length byte would be reached.
    start = 4 if inside[1] == 0x82 else 3
    made = tlv(0x30, mutate(inside[start:]))
    signature = issuer_key.sign(made, ec.ECDSA(hashes.SHA384()))
    return tlv(0x30, made + ES384 + tlv(0x03, b"\0" + signature))


def changed_fields(pki):
    """Right types and wrong ones, sizes around the limits."""
    name = chance.choice(("module_id", "digest", "timestamp", "pcrs", "public_key", "user_data", "nonce", "pubkey", "x"))
    value = chance.choice((None, b"", bytes(chance.choice((1, 48, 512, 1023, 1024, 1025, 4096, 4097))), "", "SHA384", 0, 1,
                           -1, 1 << 62, 1.5, True, [], {}, {"a": 1}, ..., {0: bytes(48)}, {31: bytes(32), 5: bytes(64)},
                           {32: bytes(48)}, {"0": bytes(48)}, forge.Wide(forge.seconds(forge.NOW) * 1000, 8)))
    return forge.document(pki, forge.fields(pki, **{name: value}))


def cases(pki):
    """(what, document): each kind of damage as often as the others."""
    good = forge.document(pki)
    payload, header = forge.cbor(forge.fields(pki)), forge.protected(pki.profile)
    for _ in range(ROUNDS):
        yield "document", mutate(good)
        yield "head", mutate(good[:24]) + good[24:]
        yield "signature", good[:-98] + mutate(good[-98:])
        yield "payload, signed", forge.document(pki, mutate(payload))
        yield "fields, signed", changed_fields(pki)
        yield "header, signed", forge.document(pki, payload, header=mutate(header))
        yield "leaf, signed", forge.changed(pki, certificate=reissued(pki.leaf, pki.instance.key))
        made = reissued(pki.instance.certificate, pki.zone.key)
        yield "authority, signed", forge.changed(pki, cabundle=pki.bundle()[:3] + [made])


def main(directory):
    root = forge.make_root()
    pem = directory / "root.pem"
    made, frames = [], []
    for profile in (forge.NITRO, forge.QINGTIAN):
        pki = forge.Pki(profile, root)
        pem.write_bytes(pki.root_pem())
        for what, document in cases(pki):
            made.append((what, document, profile == forge.QINGTIAN))
            frames.append(struct.pack("<IqI", profile, -1, len(document)) + document)
    done = subprocess.run([BUILD / "tests/programs/attest_batch", pem], input=b"".join(frames), stdout=subprocess.PIPE,
                          check=True)
    ours = [line.split()[0] for line in done.stdout.decode().splitlines()]
    if len(ours) != len(made):
        raise AssertionError("the library did not judge every document")
    table, wrong, stricter = {}, [], {}
    for (what, document, qingtian), reason in zip(made, ours):
        row = table.setdefault(what, [0, 0, 0])
        try:
            oracle.verify(document, root.certificate, qingtian)
            theirs = None
        except oracle.Invalid as e:
            theirs = str(e)
        row[0] += 1
        row[1] += reason == "ok"
        row[2] += theirs is None
        if reason == "ok" and theirs is not None:
            wrong.append(f"{what}: ok, but: {theirs}: {document.hex()}")
        if reason != "ok" and theirs is None:
            stricter[reason] = stricter.get(reason, 0) + 1
    for what, (n, valid, agreed) in table.items():
        print(f"# {what}: {n} documents, {valid} valid, {agreed} for the second verifier")
    print("# refused by the library alone:", stricter)
    print(f"{'not ok' if wrong else 'ok'} 1 - of {len(made)} mutated documents (seed {SEED}) none is valid for the library alone")
    for line in wrong[:10]:
        print("#", line)
    enough = all(row[1] > 0 for what, row in table.items() if what.endswith("signed"))
    print(f"{'ok' if enough else 'not ok'} 2 - every kind that is signed again left valid documents too")
    print("1..2")


with tempfile.TemporaryDirectory(prefix="qt-attest-") as folder:
    main(pathlib.Path(folder))
