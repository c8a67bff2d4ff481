"""Exit with an error unless the folder holds one log or more, and each says that its run succeeded.

Usage: python .ci/expect_success.py LOG_DIR
"""

import sys

from inspect_ai.log import list_eval_logs, read_eval_log


def main(log_dir: str) -> None:
    """Check the logs of a folder."""
    logs = [read_eval_log(info, header_only=True) for info in list_eval_logs(log_dir)]
    if not logs:
        sys.exit(f"{log_dir}: the run left no log")
    for log in logs:
        counts = log.results and f"{log.results.completed_samples} of {log.results.total_samples} samples"
        print(f"{log.eval.task}: {log.status}, {counts}")
        if log.status != "success" or not log.results or not log.results.scores:
            sys.exit(f"{log.location}: status '{log.status}' ({log.error and log.error.message})")


if __name__ == "__main__":
    main(sys.argv[1])
