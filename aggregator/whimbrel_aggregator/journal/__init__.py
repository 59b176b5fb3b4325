"""The region's record of frames: partitioned, append-only, durable before any receipt."""
