"""The outside systems that a forwarder can deliver to."""
