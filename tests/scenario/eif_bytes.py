# SPDX-License-Identifier: Apache-2.0
"""An image composed, measured and taken apart in plain Python: the second opinion that the scenarios compare with."""
import hashlib
import struct
import zlib

KERNEL, CMDLINE, RAMDISK, SIGNATURE, METADATA = 1, 2, 3, 4, 5
HEADER = 548


def compose(sections, version=4, flags=0, reserved=0, gap=b"", trailing=b""):
    """The bytes of an image of these (type, data) sections; gap goes between the first two."""
    offsets, sizes, body, at = [0] * 32, [0] * 32, b"", HEADER
    for i, (kind, data) in enumerate(sections):
        if i == 1:
            body, at = body + gap, at + len(gap)
        offsets[i], sizes[i] = at, len(data)
        body += struct.pack(">HHQ", kind, 0, len(data)) + data
        at += 12 + len(data)
    body += trailing
    head = b".eif" + struct.pack(">HHQQHH", version, flags, 1 << 30, 2, reserved, len(sections))
    head += struct.pack(">32Q", *offsets) + struct.pack(">32Q", *sizes) + bytes(4)
    return head + struct.pack(">I", zlib.crc32(body, zlib.crc32(head))) + body


def with_crc(image):
    """The same with the CRC put right, for damage that the CRC shall not show."""
    image = bytearray(image)
    image[544:548] = struct.pack(">I", zlib.crc32(image[548:], zlib.crc32(image[:544])))
    return bytes(image)


def sections(image):
    """[(type, data)] by the header's table."""
    count, = struct.unpack_from(">H", image, 0x1a)
    found = []
    for i in range(count):
        at, = struct.unpack_from(">Q", image, 0x1c + 8 * i)
        kind, _, size = struct.unpack_from(">HHQ", image, at)
        assert size == struct.unpack_from(">Q", image, 0x11c + 8 * i)[0]
        found.append((kind, image[at + 12:at + 12 + size]))
    return found


def crc_is_right(image):
    return zlib.crc32(image[548:], zlib.crc32(image[:544])) == struct.unpack_from(">I", image, 544)[0]


def extend(data):
    return hashlib.sha384(bytes(48) + data).hexdigest()


def pcr(data):
    return extend(hashlib.sha384(data).digest())


def measure(parts):
    """PCR0, PCR1 and PCR2 of [(type, data)]."""
    common = b"".join(d for t, d in parts if t == KERNEL) + b"".join(d for t, d in parts if t == CMDLINE)
    ramdisks = [d for t, d in parts if t == RAMDISK]
    return {"PCR0": pcr(common + b"".join(ramdisks)), "PCR1": pcr(common + b"".join(ramdisks[:1])),
            "PCR2": pcr(b"".join(ramdisks[1:]))}
