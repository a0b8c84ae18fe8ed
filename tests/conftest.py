"""Shared by all tests."""

import zlib  # noqa: F401  # before paddle 2.6.2, else a later inflate crashes (PaddlePaddle/Paddle#70538)
