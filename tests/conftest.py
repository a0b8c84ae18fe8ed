"""Shared by all tests."""

import os
import zlib  # noqa: F401  # before paddle 2.6.2, else a later inflate crashes (PaddlePaddle/Paddle#70538)

# Where writing bytecode is off, each of the thousands of processes that tests start would compile our modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
