"""Studies behind figures in the documentation; `make bench` does not run them."""
