//! The recipe that builds the images of all roles without a container engine.
//!
//! Cargo builds the programs on this machine; `buildah` puts each into an image by the very
//! `Dockerfile` that Docker reads, whose building stage is replaced by a folder. Where there is no
//! `buildah` the recipe says so and is skipped, as `deny` is.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;

/// An image: its name, which is the target of the Dockerfile and the program, and its package.
struct Image {
    name: &'static str,
    package: &'static str,
}

/// All of them.
const IMAGES: [Image; 3] = [
    Image { name: "tidegate", package: "tidegate" },
    Image { name: "tidegate-kubernetes", package: "tidegate-kubernetes" },
    Image { name: "queue-proxy", package: "tidegate-queue-proxy" },
];

/// An architecture: what images call it, what Rust does, and Debian's compiler and linker for it.
struct Platform {
    name: &'static str,
    target: &'static str,
    compiler: &'static str,
}

/// Those that are known.
const PLATFORMS: [Platform; 2] = [
    Platform {
        name: "linux/amd64",
        target: "x86_64-unknown-linux-musl",
        compiler: "x86_64-linux-gnu-gcc",
    },
    Platform {
        name: "linux/arm64",
        target: "aarch64-unknown-linux-musl",
        compiler: "aarch64-linux-gnu-gcc",
    },
];

/// Which images, for which machines, and where they go.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Images {
    /// Images to build; all of them when none is named.
    images: Vec<String>,
    /// Architecture of an image, such as linux/arm64; that of this machine when absent. Repeatable:
    /// one image is then for all of them.
    #[arg(long = "platform", value_name = "OS/ARCH")]
    platforms: Vec<String>,
    /// The folder for the images, a file each: an OCI archive.
    #[arg(long, value_name = "DIR", default_value = "target/images")]
    output: PathBuf,
}

/// Builds programs and images.
///
/// # Errors
///
/// A name is unknown, or a program or an image cannot be built.
pub fn run(asked: &Images, workspace: &Path) -> anyhow::Result<()> {
    let images = chosen(&IMAGES, |image| image.name, &asked.images, "image")?;
    let this = format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
    let platforms = match asked.platforms.is_empty() {
        true => vec![this],
        false => asked.platforms.clone(),
    };
    let platforms = chosen(&PLATFORMS, |platform| platform.name, &platforms, "platform")?;
    if Command::new("buildah").arg("--version").output().is_err() {
        eprintln!("xtask: buildah is not installed; skipped (Debian and Fedora have it)");
        return Ok(());
    }
    let output = workspace.join(&asked.output);
    for image in images {
        let programs = output.join("programs").join(image.name);
        for platform in &platforms {
            build_program(image, platform, (workspace, &programs))?;
        }
        build_image(image, &platforms, (workspace, &programs, &output))?;
    }
    Ok(())
}

/// The entries of a table that are asked for; all of them when none is.
fn chosen<'t, T>(
    table: &'t [T],
    name: impl Fn(&T) -> &'static str,
    asked: &[String],
    what: &str,
) -> anyhow::Result<Vec<&'t T>> {
    if asked.is_empty() {
        return Ok(table.iter().collect());
    }
    let find = |asked: &String| {
        let known = || table.iter().map(&name).collect::<Vec<_>>().join(", ");
        let found = table.iter().find(|entry| name(entry) == asked);
        found.with_context(|| format!("there is no {what} `{asked}`, only {}", known()))
    };
    asked.iter().map(find).collect()
}

/// Builds a program and puts it where the Dockerfile's building stage would.
fn build_program(
    image: &Image,
    platform: &Platform,
    (workspace, programs): (&Path, &Path),
) -> anyhow::Result<()> {
    let Platform { target, compiler, .. } = *platform;
    let mut command = Command::new("cargo");
    command.args(["build", "--locked", "--profile", "slim", "--target", target]);
    command.args(["--package", image.package, "--bin", image.name]).current_dir(workspace);
    if !target.starts_with(std::env::consts::ARCH) {
        let shouted = target.to_uppercase().replace('-', "_");
        command.env(format!("CARGO_TARGET_{shouted}_LINKER"), compiler);
        command.env(format!("CC_{}", target.replace('-', "_")), compiler);
    }
    execute(command).with_context(|| {
        format!(
            "for {} it takes `rustup target add {target}` and a C compiler ({compiler})",
            platform.name
        )
    })?;
    let target_directory =
        std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let built = workspace.join(target_directory).join(target).join("slim").join(image.name);
    let folder = programs.join(platform.name).join("image");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let to = folder.join(image.name);
    fs::copy(&built, &to).with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(())
}

/// Builds the image of all platforms, and writes it to a file.
fn build_image(
    image: &Image,
    platforms: &[&Platform],
    (workspace, programs, output): (&Path, &Path, &Path),
) -> anyhow::Result<()> {
    let storage = Storage { root: output.join("storage") };
    let list = format!("localhost/{}:{}", image.name, env!("CARGO_PKG_VERSION"));
    // What an earlier run left would be added to.
    let _ = storage.buildah(["manifest", "rm", &list]).output();
    for platform in platforms {
        let folder = programs.join(platform.name);
        let mut stage = OsString::from(format!("build-{}=", image.name));
        stage.push(&folder);
        let mut command = storage.buildah(["build", "--isolation", "chroot", "--manifest", &list]);
        command.args(["--target", image.name, "--platform", platform.name]);
        command.arg("--build-context").arg(stage);
        // The same programs give the same image.
        command.args(["--timestamp", "0", "--file"]).arg(workspace.join("Dockerfile")).arg(&folder);
        execute(command)?;
    }
    let file = output.join(format!("{}.tar", image.name));
    let mut to = OsString::from("oci-archive:");
    to.push(&file);
    to.push(format!(":{}", env!("CARGO_PKG_VERSION")));
    // An archive is never added to.
    let _ = fs::remove_file(&file);
    let mut command = storage.buildah(["manifest", "push", "--all", &list]);
    command.arg(to);
    execute(command)?;
    eprintln!("xtask: {} is written", file.display());
    Ok(())
}

/// Where buildah keeps images while they are built: nothing outside of the output is touched, and
/// no rights are needed that a person does not have.
struct Storage {
    root: PathBuf,
}

impl Storage {
    fn buildah<const COUNT: usize>(&self, arguments: [&str; COUNT]) -> Command {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(&self.root).arg("--runroot").arg(self.root.join("run"));
        command.args(["--storage-driver", "vfs"]).args(arguments);
        command
    }
}

fn execute(mut command: Command) -> anyhow::Result<()> {
    eprintln!("xtask: {command:?}");
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot start `{name}`"))?;
    if !status.success() {
        bail!("`{name}` failed ({status})");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_none_are_told_with_those_that_are() {
        let asked = ["activator".to_owned()];
        let error = chosen(&IMAGES, |image| image.name, &asked, "image").err().expect("none");
        assert!(error.to_string().contains("tidegate-kubernetes"), "{error}");
        let all = chosen(&IMAGES, |image| image.name, &[], "image").expect("all");
        assert_eq!(all.len(), IMAGES.len());
    }

    /// The recipe replaces the stages that build by their names.
    #[test]
    fn every_image_is_a_target_of_the_dockerfile() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Dockerfile");
        let text = fs::read_to_string(path).expect("it is there");
        for Image { name, package } in IMAGES {
            assert!(text.contains(&format!("\nFROM scratch AS {name}\n")), "{name}");
            let copy = format!("\nCOPY --from=build-{name} /image/{name} /{name}\n");
            assert!(text.contains(&copy), "{name}");
            assert!(text.contains(&format!("--package {package} --bin {name} ")), "{name}");
        }
    }
}
