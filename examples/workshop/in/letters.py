"""Counts letters. The first attempt takes more memory than it may; that there was one is seen in /out."""

from collections import Counter
from pathlib import Path

tried = Path("/out/tried")
if not tried.exists():
    tried.touch()
    everything = bytearray(1 << 30)

counts = Counter(letter for letter in Path("/in/poem.txt").read_text() if letter.isalpha())
lines = [f"{letter} {count}\n" for letter, count in counts.most_common(3)]
Path("/out/letters.txt").write_text("".join(lines))
