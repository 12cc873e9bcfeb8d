//! Whether an image is what it should be: its archive is read as a registry would read it, and its
//! program is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::Image;
use crate::platform::Platform;

/// Who the program runs as.
const USER: &str = "65532:65532";

/// The least length of the header of an ELF file of 64 bits.
const ELF_HEADER_BYTES: usize = 64;

/// The kind of a program header that names a dynamic linker.
const INTERPRETER: u32 = 3;

/// Checks the image of each platform in an archive, with `folder` for what is unpacked.
///
/// # Errors
/// What is not as it should be.
pub(super) fn check(
    image: &Image,
    platforms: &[&Platform],
    (archive, folder): (&Path, &Path),
) -> anyhow::Result<()> {
    // What an earlier run left is of another image.
    let _ = fs::remove_dir_all(folder);
    unpack(archive, folder)?;
    let layout = Layout { folder };
    let index = layout.json(&folder.join("index.json"))?;
    let all = layout.manifests(&index)?;
    for platform in platforms {
        let manifest = all
            .iter()
            .find(|(name, _)| name == platform.name)
            .with_context(|| format!("the image has nothing for {}", platform.name))?;
        let told = one(&layout, (image, platform), &manifest.1)
            .with_context(|| format!("{} for {}", image.name, platform.name))?;
        eprintln!("xtask: {} for {}: {told}", image.name, platform.name);
    }
    ensure!(all.len() == platforms.len(), "the image has {} platforms", all.len());
    Ok(())
}

fn one(
    layout: &Layout<'_>,
    (image, platform): (&Image, &Platform),
    manifest: &Value,
) -> anyhow::Result<String> {
    let config = layout.blob(&manifest["config"])?;
    let config = layout.json(&config)?;
    let is = format!("{}/{}", text(&config["os"]), text(&config["architecture"]));
    ensure!(is == platform.name, "it is for {is}");
    ensure!(config["config"]["User"] == USER, "its user is {}", config["config"]["User"]);
    let begins = &config["config"]["Entrypoint"];
    ensure!(*begins == serde_json::json!([format!("/{}", image.name)]), "it begins {begins}");
    let root = layout.folder.join("root").join(platform.name);
    let layers = manifest["layers"].as_array().context("it has no layers")?;
    let mut compressed = 0;
    for layer in layers {
        compressed += layer["size"].as_u64().unwrap_or_default();
        unpack(&layout.blob(layer)?, &root)?;
    }
    let files: Vec<String> = fs::read_dir(&root)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    ensure!(files == [image.name], "besides its program it holds {}", files.join(", "));
    let program = root.join(image.name);
    let bytes = fs::read(&program)?;
    check_elf(&bytes, platform.machine)?;
    let started = start(&program, platform)?;
    Ok(format!(
        "{:.1} MB, {:.1} MB compressed, static, user {USER}, {started}",
        bytes.len() as f64 / 1e6,
        compressed as f64 / 1e6,
    ))
}

/// Starts the program for its version, by an emulator where it is for another machine.
fn start(program: &Path, platform: &Platform) -> anyhow::Result<String> {
    let mut command = if platform.is_of_this_machine() {
        Command::new(program)
    } else {
        let emulators =
            [format!("qemu-{}-static", platform.arch()), format!("qemu-{}", platform.arch())];
        let there = |name: &&String| Command::new(name).arg("--version").output().is_ok();
        let Some(emulator) = emulators.iter().find(there) else {
            return Ok(format!("not started: no {} (Debian's qemu-user-static)", emulators[0]));
        };
        let mut command = Command::new(emulator);
        command.arg(program);
        command
    };
    let output = command.arg("--version").output().context("it cannot be started")?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let said = said.lines().next().unwrap_or_default();
    let is_version = output.status.success() && said.contains(env!("CARGO_PKG_VERSION"));
    ensure!(is_version, "`--version` says {said:?} ({})", output.status);
    Ok(format!("says `{said}`"))
}

/// Whether it is a program for a machine that no dynamic linker has to load.
fn check_elf(bytes: &[u8], machine: u16) -> anyhow::Result<()> {
    let number = |at: usize, length: usize| -> anyhow::Result<u64> {
        let part = bytes.get(at..at + length).context("it is cut short")?;
        Ok(part.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    };
    // A header of 64 bits, least byte first.
    let is_elf = bytes.len() >= ELF_HEADER_BYTES && bytes.starts_with(b"\x7fELF\x02\x01");
    ensure!(is_elf, "its program is no ELF file of 64 bits");
    let is_for = number(18, 2)?;
    ensure!(is_for == u64::from(machine), "its program is for the machine {is_for}");
    let (begin, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for nth in 0..count {
        let at = usize::try_from(begin + nth * size)?;
        if number(at, 4)? == u64::from(INTERPRETER) {
            bail!("its program needs a dynamic linker, and the image has none");
        }
    }
    Ok(())
}

fn unpack(archive: &Path, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let mut command = Command::new("tar");
    command.arg("-xf").arg(archive).arg("-C").arg(folder);
    let status = command.status().context("cannot start `tar`")?;
    ensure!(status.success(), "cannot unpack {}", archive.display());
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// An image layout of the Open Container Initiative, unpacked.
struct Layout<'a> {
    folder: &'a Path,
}

impl Layout<'_> {
    fn json(&self, path: &Path) -> anyhow::Result<Value> {
        let text = fs::read(path).with_context(|| format!("no {}", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    fn blob(&self, descriptor: &Value) -> anyhow::Result<PathBuf> {
        let digest = text(&descriptor["digest"]);
        let (algorithm, hash) = digest.split_once(':').context("a descriptor without digest")?;
        let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        ensure!(is_plain(algorithm) && is_plain(hash), "{digest:?} is no digest");
        Ok(self.folder.join("blobs").join(algorithm).join(hash))
    }

    /// The manifests that an index leads to, by platform.
    fn manifests(&self, index: &Value) -> anyhow::Result<Vec<(String, Value)>> {
        let mut found = Vec::new();
        for descriptor in index["manifests"].as_array().into_iter().flatten() {
            let object = self.json(&self.blob(descriptor)?)?;
            if object["manifests"].is_array() {
                found.extend(self.manifests(&object)?);
                continue;
            }
            let config = self.json(&self.blob(&object["config"])?)?;
            let platform = format!("{}/{}", text(&config["os"]), text(&config["architecture"]));
            found.push((platform, object));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X86_64: u16 = 62;

    /// An ELF file with one program header of this kind.
    fn elf(machine: u16, kind: u32) -> Vec<u8> {
        let mut bytes = vec![0; ELF_HEADER_BYTES];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&1_u16.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes
    }

    #[test]
    fn a_program_is_of_its_machine_and_needs_no_other() {
        let why = |bytes: &[u8]| check_elf(bytes, X86_64).err().map(|error| error.to_string());
        assert_eq!(why(&elf(X86_64, 1)), None);
        for (bytes, named) in [
            (elf(X86_64, INTERPRETER), "dynamic linker"),
            (elf(183, 1), "machine 183"),
            (b"#!/bin/sh\n".to_vec(), "no ELF"),
            (elf(X86_64, 1)[..66].to_vec(), "cut short"),
        ] {
            let why = why(&bytes).expect("it is none");
            assert!(why.contains(named), "{why}");
        }
    }

    /// This test is a program of this machine, and is linked as usual.
    #[test]
    fn a_program_that_is_linked_dynamically_is_found() {
        let bytes = fs::read(std::env::current_exe().expect("it runs")).expect("it is there");
        let machine = if cfg!(target_arch = "aarch64") { 183 } else { X86_64 };
        assert!(check_elf(&bytes, machine).is_err());
    }
}
