"""The network: event loop, line streams, listening sockets, DNS, framed conversations between our processes."""
