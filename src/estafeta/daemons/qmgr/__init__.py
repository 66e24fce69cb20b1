"""qmgr(8): takes up messages, routes and schedules them, hands them to delivery agents, decides what becomes of them.

`service.py` is the process; `active.py` the messages in memory; `schedule.py` and `destination.py` who is next;
`agents.py` the connections to delivery agents; `backlog.py` what waits on disk; `control.py` what commands ask.
"""
