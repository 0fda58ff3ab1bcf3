//! The same inputs on every backend, compared.
