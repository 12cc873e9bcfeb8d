//! The module and the scripts as one file that opens from a disk.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use tidegate_sim_report::assets::{
    CHART_SCRIPT, DECISIONS_SCRIPT, PAGE_SCRIPT, PANELS, SCATTER, SCATTER_SCRIPT, STYLE,
};

/// What people see and type into.
const BODY: &str = include_str!("assets/browser.html");
/// Its looks, beside those of every page.
const OWN_STYLE: &str = include_str!("assets/browser.css");
/// Wires the controls to the workers and the answers to the pictures.
const OWN_SCRIPT: &str = include_str!("assets/browser.js");
/// What runs in a worker, behind the module's own glue.
const WORKER_SCRIPT: &str = include_str!("assets/worker.js");

/// What the page may do: run what is in it. It may not connect to anything, load anything, or send
/// a form anywhere; a browser holds it to that.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; \
                      worker-src blob:; style-src 'unsafe-inline'; img-src data:; \
                      connect-src 'none'; form-action 'none'; base-uri 'none'";

/// The page, from the module and the glue that its tool made.
///
/// # Errors
///
/// When the glue would end the element that it is put into.
pub fn page(glue: &str, module: &[u8]) -> Result<String, &'static str> {
    if glue.contains("</script") {
        return Err("the module's glue holds `</script`, which would end its element");
    }
    let module = STANDARD.encode(module);
    let body = BODY.replace("{SCATTER}", SCATTER).replace("{PANELS}", PANELS);
    Ok(format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\
         <title>Tidegate simulator</title><style>{STYLE}{OWN_STYLE}</style></head><body>\n{body}\
         <script type=\"text/plain\" id=\"glue\">{glue}\n{WORKER_SCRIPT}</script>\
         <script type=\"text/plain\" id=\"module\">{module}</script>\
         <script>{CHART_SCRIPT}{DECISIONS_SCRIPT}</script>\
         <script>{PAGE_SCRIPT}</script><script>{SCATTER_SCRIPT}</script>\
         <script>{OWN_SCRIPT}</script></body></html>\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_connects_to_nothing_and_names_no_address() {
        let made = page("let glue;", b"\0asm").expect("there is nothing wrong with it");
        assert!(made.contains("connect-src 'none'") && made.contains("AGFzbQ=="));
        for loads in ["src=", "href=\"http", "fetch(", "XMLHttpRequest", "importScripts"] {
            assert!(!made.contains(loads), "{loads}");
        }
    }

    #[test]
    fn glue_that_would_end_its_element_is_refused() {
        assert!(page("'</script>'", b"").is_err());
    }
}
