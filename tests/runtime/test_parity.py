"""Our forward pass against transformers and peft."""

from pathlib import Path

import pytest
import torch

from audit_env.runtime.small.model import Causal, Padded, runs

from .conftest import Pair, make_folders, make_pair, padded

