"""What repeats in what is sealed, learned, so that frames only refer to it. Pure."""
