"""How far compressed data may expand.

Weights hardly get smaller by compression and text some five times; what expands far more is
damaged, or made to fill the memory or the disk.
"""

FREE_BYTES = 1 << 26
MAX_RATIO = 100


def check_expansion(size: int, stored: int, source: str) -> None:
    """Raise a ValueError if data expands more than any data of ours does.

    size (int): Bytes, declared or found so far, after decompression.
    stored (int): The bytes that they come from.
    source (str): The file, for the message.
    """
    if size > FREE_BYTES + MAX_RATIO * stored:
        raise ValueError(
            f"{source} expands to more than {size:,} bytes from {stored:,}; expected at most "
            f"{MAX_RATIO} times as many. It is damaged or made to fill the memory, and is not "
            f"read. If its content is right, decompress it first."
        )
