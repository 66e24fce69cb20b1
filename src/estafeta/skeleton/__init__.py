"""What every daemon is built on: accept loop, triggers, privileges, chroot, reload, log."""
