"""Makes `sender` importable: tests import by path, and the senders run it as a program."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
