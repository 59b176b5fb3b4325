"""From a broker's bytes to committed frames and signed receipts."""
