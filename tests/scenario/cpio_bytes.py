# SPDX-License-Identifier: Apache-2.0
"""Ramdisks taken apart in plain Python, as the kernel would unpack them."""
import stat


class Entry:
    def __init__(self, fields, name, data):
        (self.inode, self.mode, self.uid, self.gid, self.links, self.mtime, self.size, self.major, self.minor,
         self.device_major, self.device_minor) = fields
        self.name, self.data = name, data

    def __repr__(self):
        return f"{stat.filemode(self.mode)} {self.links} {self.uid}:{self.gid} {self.size} @{self.mtime} {self.name}"


def entries(archive):
    """[Entry] of one newc archive; every rule of the format is asserted."""
    found, at = [], 0
    assert len(archive) % 512 == 0
    while True:
        head = archive[at:at + 110]
        assert head[:6] == b"070701", head
        numbers = [int(head[6 + 8 * i:14 + 8 * i], 16) for i in range(13)]
        assert numbers[12] == 0
        size, name_size = numbers[6], numbers[11]
        name = archive[at + 110:at + 110 + name_size]
        assert name[-1] == 0 and 0 not in name[:-1]
        at += (110 + name_size + 3) // 4 * 4
        if name == b"TRAILER!!!\0":
            assert not any(archive[at:])
            return found
        data = archive[at:at + size]
        assert len(data) == size and not any(archive[at + size:(at + size + 3) // 4 * 4])
        at = (at + size + 3) // 4 * 4
        found.append(Entry(numbers[:11], name[:-1].decode("utf-8", "surrogateescape"), data))


def files(archive):
    """{name: Entry}, hard links given the data of their last name."""
    listed = entries(archive)
    data = {e.inode: e.data for e in listed if e.data}
    for e in listed:
        if e.links > 1 and stat.S_ISREG(e.mode):
            e.data = data.get(e.inode, b"")
    assert len({e.name for e in listed}) == len(listed)
    return {e.name: e for e in listed}


def app_config(archive):
    """{key: [values]} of app.config."""
    records = files(archive)["app.config"].data.split(b"\0")
    assert records.pop() == b""
    found = {}
    for record in records:
        key, _, value = record.decode().partition("=")
        found.setdefault(key, []).append(value)
    return found
