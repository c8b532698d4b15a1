"""What the library's kernels cost on accelerators, read from what their compilers make of them."""
