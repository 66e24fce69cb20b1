"""postscreen(8): keeps programs that send spam away from smtpd. Who waits costs one small object."""
