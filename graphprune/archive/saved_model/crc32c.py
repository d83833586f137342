"""The Castagnoli checksum (CRC-32C), with which TensorFlow's checkpoints and LevelDB's tables find
damage.
"""

from __future__ import annotations

import google_crc32c

_ONES = 0xFFFFFFFF


def crc32c(data: bytes | memoryview) -> int:
    """Return the checksum of `data` (RFC 3720, appendix B.4).

    Example:
        >>> hex(crc32c(bytes(32))), hex(crc32c(b"123456789")), hex(crc32c(b""))
        ('0x8a9136aa', '0xe3069283', '0x0')
    """
    found: int = google_crc32c.value(bytes(data))  # its C code takes no memoryview
    return found


def unmask_crc(masked: int) -> int:
    """Return the checksum that LevelDB and TensorFlow wrote as `masked` (leveldb/util/crc32c.h).

    Example:
        >>> hex(unmask_crc(mask_crc(0x8A9136AA)))
        '0x8a9136aa'
    """
    turned = (masked - 0xA282EAD8) & _ONES
    return ((turned >> 17) | (turned << 15)) & _ONES


def mask_crc(crc: int) -> int:
    """Return `crc` in the form in which it is stored: a checksum among data whose checksum is taken
    would weaken that.
    """
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & _ONES
