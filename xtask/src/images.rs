//! The recipe that builds the images of all roles without a container engine.
//!
//! Cargo builds the programs on this machine; `buildah` puts each into an image by the very
//! `Dockerfile` that Docker reads, whose building stage is replaced by a folder. Each image is then
//! checked. Where there is no `buildah` the recipe says so and is skipped, as `deny` is.

mod check;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use clap::Args;

use crate::platform::{PLATFORMS, Platform};
use crate::tool::execute;

/// An image: its name, which is the target of the Dockerfile and the program, and its package.
struct Image {
    name: &'static str,
    package: &'static str,
}

/// All of them.
const IMAGES: [Image; 4] = [
    Image { name: "tidegate", package: "tidegate" },
    Image { name: "activator", package: "tidegate-activator-program" },
    Image { name: "tidegate-kubernetes", package: "tidegate-kubernetes" },
    Image { name: "queue-proxy", package: "tidegate-queue-proxy" },
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

/// Builds programs and images, and checks them.
///
/// # Errors
///
/// A name is unknown, a program or an image cannot be built, or one is not as it should be.
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
    let built = platform.build(platform.target, (image.package, image.name), workspace)?;
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
        execute(&mut command)?;
    }
    let file = output.join(format!("{}.tar", image.name));
    let mut to = OsString::from("oci-archive:");
    to.push(&file);
    to.push(format!(":{}", env!("CARGO_PKG_VERSION")));
    // An archive is never added to.
    let _ = fs::remove_file(&file);
    let mut command = storage.buildah(["manifest", "push", "--all", &list]);
    command.arg(to);
    execute(&mut command)?;
    check::check(image, platforms, (&file, &output.join("check").join(image.name)))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_none_are_told_with_those_that_are() {
        let asked = ["sidecar".to_owned()];
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
