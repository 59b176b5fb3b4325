"""The regional aggregator: verifies, deduplicates, commits, receipts and forwards."""
