"""What an auditor with access to weights and activations can read, each figure beside that of a sham."""

from audit_env.tools.white_box.activation_difference import activation_difference
from audit_env.tools.white_box.divergence import kl_prompts
from audit_env.tools.white_box.trigger_scan import trigger_scan
from audit_env.tools.white_box.weight_reading import read_weights

__all__ = ["activation_difference", "kl_prompts", "read_weights", "trigger_scan"]
