"""Every parameter, declared once: one file per subject. `index.py` lists the subjects."""
