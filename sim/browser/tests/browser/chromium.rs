//! Chromium without a window, told what to do over two pipes in the words of its own debugger.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// Names under which it is installed.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Longest wait for something to be seen: a debug build of nothing, on a busy machine.
const SEEN_WITHIN_MS: u32 = 120_000;

/// Pause between two looks inside the page.
const LOOK_EVERY_MS: u32 = 20;

/// One browser with one page.
pub(crate) struct Chromium {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    next: u64,
    /// What the page asked of the network.
    pub(crate) requested: Vec<String>,
}

impl Chromium {
    /// Starts one; `None` where there is none.
    pub(crate) fn start(profile: &Path) -> Option<Self> {
        let program = NAMES.into_iter().find(|name| {
            let asked = Command::new(name).arg("--version").stderr(Stdio::null()).output();
            asked.is_ok_and(|answer| answer.status.success())
        })?;
        // It reads orders from descriptor 3 and answers on 4, which only a shell can say here.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", program])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--remote-debugging-pipe", "--window-size=1400,1000"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let to = process.stdin.take().expect("it is a pipe");
        let from = BufReader::new(process.stdout.take().expect("it is a pipe"));
        let requested = Vec::new();
        let mut browser = Chromium { process, to, from, session: None, next: 0, requested };
        let made = browser.order("Target.createTarget", json!({ "url": "about:blank" }));
        let target = json!({ "targetId": made["targetId"], "flatten": true });
        let attached = browser.order("Target.attachToTarget", target);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for part in ["Page.enable", "Runtime.enable", "Network.enable"] {
            browser.order(part, json!({}));
        }
        Some(browser)
    }

    /// Gives an order and waits for its answer.
    pub(crate) fn order(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut order = json!({ "id": self.next, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            order["sessionId"] = json!(session);
        }
        write!(self.to, "{order}\0").expect("the browser listens");
        loop {
            let mut text = Vec::new();
            let read = self.from.read_until(0, &mut text).expect("the browser answers");
            assert!(read > 0, "the browser ended at {method}");
            text.pop();
            let message: Value = serde_json::from_slice(&text).expect("answers are JSON");
            if message["method"] == "Network.requestWillBeSent" {
                let address = &message["params"]["request"]["url"];
                self.requested.extend(address.as_str().map(str::to_owned));
            }
            if message["id"] == self.next {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
        }
    }

    /// What `expression` is inside the page, once it is settled.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let asked =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.order("Runtime.evaluate", asked);
        let failed = &answer["exceptionDetails"];
        assert!(failed.is_null(), "{expression}: {failed}");
        answer["result"]["value"].clone()
    }

    /// Waits until `condition` holds inside the page, and gives its value.
    pub(crate) fn seen(&mut self, condition: &str) -> Value {
        let look = format!(
            "new Promise((seen, never) => {{ const began = performance.now(); \
             const look = () => {{ const value = {condition}; if (value) seen(value); \
             else if (performance.now() - began > {SEEN_WITHIN_MS}) never('not seen'); \
             else setTimeout(look, {LOOK_EVERY_MS}); }}; look(); }})"
        );
        self.value(&look)
    }

    /// Opens a page.
    pub(crate) fn open(&mut self, page: &Path) {
        self.order("Page.navigate", json!({ "url": format!("file://{}", page.display()) }));
        self.seen("document.readyState === 'complete'");
    }

    /// Drops a file onto the page, as from a file manager.
    pub(crate) fn drop_file(&mut self, file: &Path) {
        let data = json!({ "items": [], "files": [file], "dragOperationsMask": 1 });
        for step in ["dragEnter", "dragOver", "drop"] {
            let event = json!({ "type": step, "x": 300, "y": 200, "data": data });
            self.order("Input.dispatchDragEvent", event);
        }
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str, code: u32) {
        for step in ["rawKeyDown", "keyUp"] {
            let event =
                json!({ "type": step, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.order("Input.dispatchKeyEvent", event);
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The shell became the browser, and the browser ends its own parts with it.
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}
