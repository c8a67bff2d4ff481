"""audit_env: hidden-objective audits of small and large model organisms, on Inspect."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("audit_env")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+checkout"

__all__ = ["__version__"]
