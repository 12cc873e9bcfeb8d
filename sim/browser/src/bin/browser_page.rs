//! Makes the page: the module that the compiler wrote in, one HTML file out.
//!
//! `cargo xtask browser` builds the module and runs this. It must never fetch anything, and holds
//! no part of the page itself: that is the library's.

use std::path::PathBuf;

use anyhow::{Context, bail};
use tidegate_sim_browser::page::page;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(module), Some(out), None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        bail!("expected two paths: the module that was built, and the page to write");
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(&module).no_modules(true)?.typescript(false);
    let mut made = bindgen.generate_output().with_context(|| {
        format!("{} is not a module that was built for a page", module.display())
    })?;
    let wasm = made.wasm_mut().emit_wasm();
    let text = page(made.js(), &wasm).map_err(anyhow::Error::msg)?;
    std::fs::write(&out, &text).with_context(|| format!("cannot write {}", out.display()))?;
    println!("{} ({} kB, the module {} kB)", out.display(), text.len() / 1_000, wasm.len() / 1_000);
    Ok(())
}
