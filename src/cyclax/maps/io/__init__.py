"""Networks in files: which model a set of named arrays stands for, and the containers that it comes in."""
