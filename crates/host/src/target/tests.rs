use super::*;

fn text() -> String {
    BUILT_IN
        .iter()
        .find(|(name, _)| *name == "qemu-cortex-m4f")
        .map(|(_, text)| (*text).to_owned())
        .unwrap()
}

fn error(text: &str) -> String {
    Target::parse(text, Path::new("qemu-cortex-m4f.toml"))
        .unwrap_err()
        .to_string()
}

#[test]
fn every_descriptor_of_the_repository_is_built_in_and_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../targets");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let mut built_in: Vec<String> = Target::built_in()
        .unwrap()
        .into_iter()
        .map(|target| target.name)
        .collect();
    files.sort();
    built_in.sort();
    assert_eq!(files, built_in);
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let error = Target::find("esp32").unwrap_err().to_string();
    assert!(
        error.contains("esp32") && error.contains("qemu-cortex-m4f"),
        "{error}"
    );
}

#[test]
fn a_wrong_value_is_named_with_file_and_key() {
    let cases = [
        (
            "kernel_class = \"reference\"",
            "kernel_class = \"\"",
            "kernel_class",
        ),
        (
            "name = \"qemu-cortex-m4f\"",
            "name = \"other\"",
            "name the file like the target",
        ),
        ("models = [\"plan\"]", "models = []", "models"),
        ("{port}", "{ports}", "{ports}"),
    ];
    for (from, to, expected) in cases {
        let wrong = text().replacen(from, to, 1);
        assert_ne!(wrong, text(), "{from} is not there");
        let error = error(&wrong);
        assert!(
            error.starts_with("qemu-cortex-m4f.toml: ") && error.contains(expected),
            "{error}"
        );
    }
}

#[test]
fn an_unknown_key_is_an_error_with_its_line() {
    let wrong = text().replacen("kernel_class", "kernels", 1);
    let line = wrong
        .lines()
        .position(|line| line.starts_with("kernels"))
        .unwrap()
        + 1;
    let error = error(&wrong);
    assert!(
        error.starts_with(&format!("qemu-cortex-m4f.toml:{line}: ")) && error.contains("kernels"),
        "{error}"
    );
}

#[test]
fn a_budget_beyond_the_memory_is_refused() {
    let mut target = Target::find("qemu-cortex-m4f").unwrap();
    target.budget.arena_bytes = 1 << 40;
    let key = |target: &Target| check::fault(target, "qemu-cortex-m4f").map(|fault| fault.key);
    assert_eq!(key(&target), Some("budget".to_owned()));
    target.budget.arena_bytes = 1;
    let last = target.memory.last().unwrap().clone();
    target.memory.push(last);
    assert!(key(&target).is_some_and(|key| key.starts_with("memory[")));
}
