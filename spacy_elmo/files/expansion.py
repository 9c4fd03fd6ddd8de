"""A limit on how far compressed data may expand.

Compression hardly reduces the size of weights, and it reduces text to about a fifth. Data that
expands far more is damaged, or was made to fill the memory or the disk.
"""

FREE_BYTES = 1 << 26
MAX_RATIO = 100


def check_expansion(size: int, stored: int, source: str) -> None:
    """Raise an error if data expands more than text or weights do.

    size (int): Bytes after decompression: the declared size, or the number read so far.
    stored (int): Bytes before decompression.
    source (str): The file, for the error message.
    RAISES (ValueError): If `size` is more than `FREE_BYTES + MAX_RATIO * stored`.
    """
    if size > FREE_BYTES + MAX_RATIO * stored:
        raise ValueError(
            f"{source} expands to more than {size:,} bytes from {stored:,}; expected at most "
            f"{MAX_RATIO} times as many. It is not read, because it is damaged or was made to fill "
            f"the memory. If its content is correct, decompress it first."
        )
