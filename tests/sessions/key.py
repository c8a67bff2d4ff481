"""What keys send."""

ENTER, TAB, ESCAPE = "\r", "\t", "\x1b"
SEND = "\x13"
CHAT, TOOLS, FINDINGS, TRACKER, NOTES, REPORT = "\x1bOR", "\x1bOS", "\x1b[15~", "\x1b[17~", "\x1b[18~", "\x1b[19~"
LEAVE = "\x1b[21~"
