"""SMTP as bytes and texts: what a server and a client say to each other, without sockets."""
