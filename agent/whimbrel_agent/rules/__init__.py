"""Edge aggregation: rules that make fewer events of many, before the buffer keeps them."""
