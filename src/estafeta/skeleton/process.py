"""One service process, from fork to exit. See service.py for what it runs."""
