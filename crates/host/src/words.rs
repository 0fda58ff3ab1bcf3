//! Words of messages.

/// A number with its noun, which takes an s where the number is not 1.
///
/// ```
/// use dunlin_host::words::counted;
/// assert_eq!((counted(1, "error"), counted(0, "warning")), ("1 error".to_owned(), "0 warnings".to_owned()));
/// ```
pub fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_singular_and_none_is_plural() {
        let said = [0, 1, 2].map(|count| counted(count, "error"));
        assert_eq!(said, ["0 errors", "1 error", "2 errors"]);
    }
}
