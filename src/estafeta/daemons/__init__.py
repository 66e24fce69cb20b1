"""One module or folder per master.cf program; `index.py` lists them."""
