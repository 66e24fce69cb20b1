"""master(8): reads master.cf, holds the sockets, starts service processes on demand and looks after them.

Single-threaded, with a plain selector, so that forking is safe at any point. `__main__` is the command line, `plan`
what is to run, `sockets` where clients arrive, `service` one line of master.cf while it runs, `worker` one process,
`supervisor` the loop that ties them together.
"""
