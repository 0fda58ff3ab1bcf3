CREATE TABLE quarantine (
    device TEXT NOT NULL,
    boot INTEGER,
    sequence INTEGER,
    reason TEXT NOT NULL,
    transport TEXT NOT NULL,
    count INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (device, bytes)
) STRICT;
