//! The firmware on the emulated board, from outside: started in QEMU, spoken to over its link.
