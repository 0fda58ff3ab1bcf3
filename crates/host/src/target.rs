//! What a kind of device is: triple, memory, budgets, link, flasher.
