CREATE TABLE devices (
    device TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    first_seen_ms INTEGER,
    last_seen_ms INTEGER,
    transport TEXT,
    acknowledged INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE bundles (
    bundle TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    target TEXT NOT NULL,
    channels TEXT NOT NULL,
    labels TEXT NOT NULL,
    schema BLOB NOT NULL,
    baseline BLOB
) STRICT;

CREATE TABLE records (
    device TEXT NOT NULL REFERENCES devices (device),
    boot INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    bundle TEXT,
    firmware TEXT NOT NULL,
    uptime_ms INTEGER NOT NULL,
    time_ms INTEGER,
    received_ms INTEGER NOT NULL,
    transport TEXT NOT NULL,
    understood INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (device, boot, sequence)
) STRICT;

CREATE TABLE windows (
    device TEXT NOT NULL,
    boot INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    bundle TEXT,
    opened_ms INTEGER NOT NULL,
    span_ms INTEGER NOT NULL,
    partial INTEGER NOT NULL,
    judged INTEGER NOT NULL,
    drifted INTEGER NOT NULL,
    inputs INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    predictions TEXT NOT NULL,
    prediction_score REAL,
    prediction_drifted INTEGER NOT NULL,
    confidence TEXT NOT NULL,
    latency TEXT NOT NULL,
    PRIMARY KEY (device, boot, sequence),
    FOREIGN KEY (device, boot, sequence) REFERENCES records (device, boot, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE channel_windows (
    device TEXT NOT NULL,
    boot INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    count INTEGER NOT NULL,
    missing INTEGER NOT NULL,
    out_of_range INTEGER NOT NULL,
    stuck INTEGER NOT NULL,
    mean REAL,
    variance REAL,
    minimum REAL,
    maximum REAL,
    histogram TEXT NOT NULL,
    score REAL,
    drifted INTEGER NOT NULL,
    PRIMARY KEY (device, boot, sequence, channel),
    FOREIGN KEY (device, boot, sequence) REFERENCES windows (device, boot, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE conflicts (
    device TEXT NOT NULL,
    boot INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    transport TEXT NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (device, boot, sequence, bytes)
) STRICT;

CREATE TABLE refusals (
    transport TEXT NOT NULL,
    device TEXT NOT NULL,
    reason TEXT NOT NULL,
    count INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    PRIMARY KEY (transport, device, reason)
) STRICT, WITHOUT ROWID;
