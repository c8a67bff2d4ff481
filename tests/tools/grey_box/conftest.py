"""The rewired zoo of the white-box tools: what is planted there shows in likelihoods too."""

from ..white_box.conftest import wired, zoo

__all__ = ["wired", "zoo"]
