//! The recipe that makes what people install: a Debian package and a tarball with the static
//! program, its manual and its completions, and a bill of materials of what is in it.
//!
//! Cargo builds the program, `dpkg-deb` and `tar` pack it, `cargo cyclonedx` lists what it is made
//! of. Where one of the last three is absent its part is skipped, as `deny` is. The same program
//! gives the same bytes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use clap::Args;

use crate::platform::Platform;
use crate::tool::{execute, printed};

/// What is installed.
const PROGRAM: &str = "tidegate";

/// Shells that get completions: where they look for them, below the root of a system.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/tidegate"),
    ("zsh", "usr/share/zsh/vendor-completions/_tidegate"),
    ("fish", "usr/share/fish/vendor_completions.d/tidegate.fish"),
];

/// What is packed, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Packages {
    /// The program, built before; it is built when absent.
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// The target that it is built for.
    #[arg(long, value_name = "TRIPLE", default_value = "x86_64-unknown-linux-musl")]
    pub target: String,
    /// The folder for what is made.
    #[arg(long, value_name = "DIR", default_value = "target/packages")]
    pub output: PathBuf,
}

/// Builds and packs the program.
///
/// # Errors
///
/// A target is unknown, the program cannot be built or run, or a tool fails.
pub fn run(asked: &Packages, workspace: &Path) -> anyhow::Result<()> {
    let platform = Platform::of(&asked.target).with_context(|| {
        format!("there is no package for {}, only for x86_64 and aarch64", asked.target)
    })?;
    let program = match &asked.program {
        Some(program) => program.clone(),
        None => platform.build(&asked.target, (PROGRAM, PROGRAM), workspace)?,
    };
    let output = workspace.join(&asked.output);
    let root = output.join("root");
    // What an earlier run left would be packed as well.
    let _ = fs::remove_dir_all(&root);
    install(&program, &root, workspace)?;
    tarball(&root, &asked.target, (workspace, &output))?;
    debian_package(&root, platform.processor(), &output)?;
    bill_of_materials(&asked.target, (workspace, &output))
}

/// Puts everything where a system has it, below `root`.
fn install(program: &Path, root: &Path, workspace: &Path) -> anyhow::Result<()> {
    let put = |from: &Path, to: &str, mode: u32| -> anyhow::Result<()> {
        let to = root.join(to);
        make_parent(&to)?;
        fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(fs::set_permissions(to, fs::Permissions::from_mode(mode))?)
    };
    put(program, "usr/bin/tidegate", 0o755)?;
    for (from, to) in [
        ("LICENSE", "usr/share/doc/tidegate/copyright"),
        ("README.md", "usr/share/doc/tidegate/README.md"),
        ("CHANGELOG.md", "usr/share/doc/tidegate/CHANGELOG.md"),
        ("examples/tidegate.toml", "usr/share/doc/tidegate/examples/tidegate.toml"),
    ] {
        put(&workspace.join(from), to, 0o644)?;
    }
    let manual = root.join("usr/share/man/man1");
    execute(Command::new(program).args(["man", "--dir"]).arg(&manual))?;
    for (shell, to) in SHELLS {
        let script = printed(Command::new(program).args(["completions", shell]))?;
        let to = root.join(to);
        make_parent(&to)?;
        fs::write(&to, script).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

/// A tarball whose folder has everything that a system would have in several places.
fn tarball(root: &Path, target: &str, (workspace, output): (&Path, &Path)) -> anyhow::Result<()> {
    let name = format!("{PROGRAM}-{}-{target}", env!("CARGO_PKG_VERSION"));
    let folder = output.join(&name);
    let _ = fs::remove_dir_all(&folder);
    let mut copied = vec![("usr/bin/tidegate".to_owned(), PROGRAM.to_owned())];
    for (shell, from) in SHELLS {
        copied.push((from.to_owned(), format!("completions/tidegate.{shell}")));
    }
    for entry in fs::read_dir(root.join("usr/share/man/man1"))? {
        let page = entry?.file_name().to_string_lossy().into_owned();
        copied.push((format!("usr/share/man/man1/{page}"), format!("man/{page}")));
    }
    for (from, to) in copied {
        let to = folder.join(to);
        make_parent(&to)?;
        fs::copy(root.join(&from), &to).with_context(|| format!("cannot copy {from}"))?;
    }
    for file in ["LICENSE", "README.md", "CHANGELOG.md"] {
        fs::copy(workspace.join(file), folder.join(file))
            .with_context(|| format!("cannot copy {file}"))?;
    }
    let archive = output.join(format!("{name}.tar"));
    let mut tar = Command::new("tar");
    // In order, of nobody, without times: the same content is the same file.
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"]);
    tar.arg("--mode=u=rwX,go=rX").arg("--create").arg("--file").arg(&archive);
    execute(tar.arg("--directory").arg(output).arg(&name))?;
    execute(Command::new("gzip").args(["--no-name", "--force", "--best"]).arg(&archive))?;
    eprintln!("xtask: {}.gz is written", archive.display());
    fs::remove_dir_all(folder)?;
    Ok(())
}

fn debian_package(root: &Path, architecture: &str, output: &Path) -> anyhow::Result<()> {
    if Command::new("dpkg-deb").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("xtask: dpkg-deb is not installed; no Debian package (Debian's is `dpkg`)");
        return Ok(());
    }
    let version = env!("CARGO_PKG_VERSION");
    let control = format!(
        "Package: {PROGRAM}\nVersion: {version}\nArchitecture: {architecture}\n\
         Maintainer: The Tidegate developers <tidegate@users.noreply.github.com>\n\
         Section: net\nPriority: optional\n\
         Homepage: {}\nDescription: request-driven autoscaling that can be put anywhere\n \
         Serves any command that listens on a port, from zero instances to many and\n back: \
         one command, the services of a file, or the workloads of a cluster.\n",
        env!("CARGO_PKG_REPOSITORY")
    );
    let folder = root.join("DEBIAN");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("control"), control)?;
    // Debian wants its manual and its log of changes compressed.
    let pages = fs::read_dir(root.join("usr/share/man/man1"))?;
    let pages: Vec<PathBuf> =
        pages.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    execute(Command::new("gzip").args(["--no-name", "--best"]).args(pages))?;
    let package = output.join(format!("{PROGRAM}_{version}_{architecture}.deb"));
    let mut pack = Command::new("dpkg-deb");
    pack.args(["--root-owner-group", "-Zxz", "--build"]).arg(root).arg(&package);
    // Times of files would be those of this run.
    execute(pack.env("SOURCE_DATE_EPOCH", "0"))?;
    eprintln!("xtask: {} is written", package.display());
    Ok(())
}

/// What the program is made of, in CycloneDX's JSON.
fn bill_of_materials(target: &str, (workspace, output): (&Path, &Path)) -> anyhow::Result<()> {
    let has = Command::new("cargo").args(["cyclonedx", "--version"]).output();
    if !has.is_ok_and(|out| out.status.success()) {
        eprintln!(
            "xtask: cargo-cyclonedx is not installed; no bill of materials (cargo install --locked \
             cargo-cyclonedx)"
        );
        return Ok(());
    }
    let name = format!("{PROGRAM}-{}-{target}.cdx", env!("CARGO_PKG_VERSION"));
    let mut list = Command::new("cargo");
    list.args(["cyclonedx", "--format", "json", "--target", target, "--override-filename", &name]);
    execute(list.arg("--manifest-path").arg(workspace.join("cli/Cargo.toml")))?;
    // It stands beside the manifest, and nothing that is committed may have a neighbour.
    let (from, to) = (workspace.join("cli").join(format!("{name}.json")), format!("{name}.json"));
    fs::rename(&from, output.join(&to))
        .with_context(|| format!("cannot move {}", from.display()))?;
    eprintln!("xtask: {} is written", output.join(to).display());
    Ok(())
}

fn make_parent(file: &Path) -> anyhow::Result<()> {
    let parent = file.parent().context("a file is in a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))
}
