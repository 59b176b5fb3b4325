"""The wire protocol of Whimbrel: values, columns, frames, messages and topics. Pure."""
