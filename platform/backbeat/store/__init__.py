"""What must survive a crash: the Redis ledger and time index. Lua files with a signature on top, thin Python beside them."""
