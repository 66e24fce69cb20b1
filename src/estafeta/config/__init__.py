"""main.cf, master.cf and every parameter."""
