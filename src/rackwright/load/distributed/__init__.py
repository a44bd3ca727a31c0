"""Load from many hosts: one controller, agents that carry out shares, three channels of ZeroMQ between them."""
