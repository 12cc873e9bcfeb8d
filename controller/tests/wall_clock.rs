//! Wall time decides nothing: a controller and its reporters read it once, each in one place, and
//! count from there. A clock that is set while they run changes nothing; what two clocks disagree
//! about is told when a stream opens (`clocks_that_are_an_hour_apart_change_nothing`).

use std::path::{Path, PathBuf};

/// Every file of Rust below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder can be listed");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let each = paths.flat_map(|path| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    });
    each.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

#[test]
fn it_is_read_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for package in ["controller", "reporter"] {
        let folder = root.join(package).join("src");
        let reads = |path: &PathBuf| {
            std::fs::read_to_string(path).expect("readable").contains("SystemTime::now")
        };
        let readers: Vec<PathBuf> = sources(&folder).into_iter().filter(reads).collect();
        assert_eq!(readers, [folder.join("clock.rs")], "{package}");
    }
}
