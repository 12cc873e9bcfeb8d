//! The processors that programs are built for, and how.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::tool::execute;

/// An architecture: what images call it, what Rust does, and Debian's compiler and linker for it.
#[derive(Debug)]
pub(crate) struct Platform {
    pub(crate) name: &'static str,
    pub(crate) target: &'static str,
    compiler: &'static str,
    /// What the header of its programs says.
    pub(crate) machine: u16,
}

/// Those that are known.
pub(crate) const PLATFORMS: [Platform; 2] = [
    Platform {
        name: "linux/amd64",
        target: "x86_64-unknown-linux-musl",
        compiler: "x86_64-linux-gnu-gcc",
        machine: 62,
    },
    Platform {
        name: "linux/arm64",
        target: "aarch64-unknown-linux-musl",
        compiler: "aarch64-linux-gnu-gcc",
        machine: 183,
    },
];

impl Platform {
    /// That of a target, by its processor.
    pub(crate) fn of(target: &str) -> Option<&'static Self> {
        PLATFORMS.iter().find(|platform| platform.arch() == arch(target))
    }

    /// What Rust calls its processor.
    pub(crate) fn arch(&self) -> &'static str {
        arch(self.target)
    }

    /// What images call its processor, and Debian as well.
    pub(crate) fn processor(&self) -> &'static str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn is_of_this_machine(&self) -> bool {
        self.arch() == std::env::consts::ARCH
    }

    /// Builds the slim program of a package for `target`, one of this processor, and gives where it
    /// is.
    pub(crate) fn build(
        &self,
        target: &str,
        (package, program): (&str, &str),
        workspace: &Path,
    ) -> anyhow::Result<PathBuf> {
        let mut command = Command::new("cargo");
        command.args(["build", "--locked", "--profile", "slim", "--target", target]);
        command.args(["--package", package, "--bin", program]).current_dir(workspace);
        if !self.is_of_this_machine() {
            let shouted = target.to_uppercase().replace('-', "_");
            command.env(format!("CARGO_TARGET_{shouted}_LINKER"), self.compiler);
            command.env(format!("CC_{}", target.replace('-', "_")), self.compiler);
        }
        execute(&mut command).with_context(|| {
            let (name, compiler) = (self.name, self.compiler);
            format!(
                "for {name} it takes `rustup target add {target}` and a C compiler ({compiler})"
            )
        })?;
        let folder = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
        Ok(workspace.join(folder).join(target).join("slim").join(program))
    }
}

fn arch(target: &str) -> &str {
    target.split('-').next().unwrap_or_default()
}
