"""What the tests stand on: real servers in folders of their own, and a way to wait for facts."""
