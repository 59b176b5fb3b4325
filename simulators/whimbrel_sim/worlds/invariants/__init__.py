"""What must hold in every world, each checked by code that shares nothing with what it checks."""
