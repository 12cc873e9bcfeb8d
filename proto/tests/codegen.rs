//! The committed code is what the committed `.proto` files generate.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Setting this to `write` writes the code instead of comparing it.
const REGENERATE: &str = "TIDEGATE_CODEGEN";

const SOURCES: [&str; 9] = [
    "keda/externalscaler.proto",
    "knative/stat.proto",
    "otlp/v1/otlp.proto",
    "prometheus/v1/remote.proto",
    "tidegate/credits/v1/credits.proto",
    "tidegate/operate/v1/operate.proto",
    "tidegate/stats/v1/stats.proto",
    "tidegate/scale/v1/scale.proto",
    "tidegate/routes/v1/routes.proto",
];

fn package_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn generate(out: &Path) {
    let include = package_root().join("proto");
    let descriptors = protox::compile(SOURCES, [&include]).expect("the .proto files compile");
    tonic_prost_build::configure()
        .build_transport(false)
        .codec_path("crate::codec::FrugalCodec")
        .client_mod_attribute(".", "#[cfg(feature = \"client\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        .out_dir(out)
        .compile_fds(descriptors)
        .expect("code is generated");
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be listed");
    let mut names: Vec<PathBuf> =
        entries.map(|entry| PathBuf::from(entry.expect("an entry").file_name())).collect();
    names.sort();
    names
}

#[test]
fn committed_code_is_up_to_date() {
    let committed = package_root().join("src/generated");
    if env::var_os(REGENERATE).is_some_and(|value| value == "write") {
        fs::create_dir_all(&committed).expect("the folder can be made");
        generate(&committed);
        return;
    }
    let fresh = tempfile::tempdir().expect("a temporary folder");
    generate(fresh.path());
    assert_eq!(files_of(fresh.path()), files_of(&committed), "a file is missing or left over");
    for name in files_of(fresh.path()) {
        let new = fs::read_to_string(fresh.path().join(&name)).expect("readable");
        let old = fs::read_to_string(committed.join(&name)).expect("readable");
        assert!(
            new == old,
            "{} is stale: run `{REGENERATE}=write cargo test -p tidegate-proto --test codegen`",
            name.display()
        );
    }
}
