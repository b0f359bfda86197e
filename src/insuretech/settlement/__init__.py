"""Settlement with insurers: lines by events, registers (bordereaux) per insurer and month, their files and sending."""
