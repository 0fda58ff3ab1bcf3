//! Per-device key: tags on records and acknowledgements.
