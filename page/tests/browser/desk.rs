//! A browser before the page of a controller whose load goes up and down.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_controller::identity::ReporterId;
use tidegate_page::{Page, Serving, Settings};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::chromium::Chromium;
use crate::world::{Load, World, cold_start, revision};

/// The period of reports.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A rollout that stays where it begins.
const ROUTES: &str = "[route.shop]\nhosts = [\"shop.example.com\"]\n\
                      rollout = { from = \"app-000\", to = \"app-001\", \
                      steps = [{ percent = 25, hold = \"1h\" }] }\n\
                      [route.robots]\nexact = \"/robots.txt\"\nanswer = { body = \"\" }\n";

/// What a controller has.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) revisions: u32,
    /// What the names of instances begin with.
    pub(crate) instance: String,
}

impl Scene {
    pub(crate) fn of(revisions: u32) -> Self {
        Self { revisions, instance: "instance-".to_owned() }
    }
}

/// How long is watched: as the environment says, or so many seconds.
pub(crate) fn seconds(usual: u64) -> u64 {
    let asked = std::env::var("TIDEGATE_PAGE_SECONDS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

pub(crate) struct Desk {
    browser: Chromium,
    page: Page,
    address: String,
    _serving: Serving,
    _runtime: Runtime,
    _folder: TempDir,
}

impl Desk {
    /// `None`, with a message, where there is no browser.
    pub(crate) fn start(scene: Scene, settings: Settings) -> Option<Self> {
        let folder = TempDir::new().expect("a temporary directory can be made");
        let Some(mut browser) = Chromium::start(&folder.path().join("profile")) else {
            eprintln!("skipped: there is no Chromium (apt-get install chromium)");
            return None;
        };
        browser.order("Log.enable", json!({}));
        // Complaints of the browser are gathered by the page itself, from its first moment on.
        let gather = "window.complaints = []; \
             addEventListener('securitypolicyviolation', \
             e => complaints.push(e.violatedDirective)); \
             addEventListener('error', e => complaints.push(e.message)); \
             addEventListener('unhandledrejection', e => complaints.push(String(e.reason)))";
        browser.order("Page.addScriptToEvaluateOnNewDocument", json!({ "source": gather }));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let (page, serving) = runtime.block_on(async {
            let world = World::start();
            let page = Page::start(world.handle.clone(), settings).expect("randomness");
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let serving = page.clone().serve(listener).expect("an address");
            tokio::spawn(live(world, scene));
            (page, serving)
        });
        let address = format!("http://{}", serving.address());
        Some(Self { browser, page, address, _serving: serving, _runtime: runtime, _folder: folder })
    }

    /// Opens the page anew at a fragment.
    pub(crate) fn open(&mut self, fragment: &str) {
        self.go(&format!("/page{fragment}"));
    }

    pub(crate) fn go(&mut self, target: &str) {
        self.browser.order("Page.navigate", json!({ "url": "about:blank" }));
        let url = format!("{}{target}", self.address);
        self.browser.order("Page.navigate", json!({ "url": url }));
        self.browser.seen("document.readyState === 'complete' && location.pathname === '/page'");
    }

    /// What a link that is good once leads to.
    pub(crate) fn link(&self) -> String {
        self.page.link().expect("there is randomness")
    }

    pub(crate) fn order(&mut self, method: &str, parameters: Value) -> Value {
        self.browser.order(method, parameters)
    }

    pub(crate) fn value(&mut self, expression: &str) -> Value {
        self.browser.value(expression)
    }

    pub(crate) fn seen(&mut self, condition: &str) -> Value {
        self.browser.seen(condition)
    }

    /// As `seen`, for what takes longer than any single look may.
    pub(crate) fn seen_within(&mut self, condition: &str) {
        while self.value(condition) != true {
            std::thread::sleep(REPORT_EVERY);
        }
    }

    pub(crate) fn press(&mut self, key: &str, code: u32) {
        self.browser.press(key, code);
    }

    pub(crate) fn text(&mut self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector('{selector}').textContent"));
        text.as_str().expect("text").to_owned()
    }

    pub(crate) fn count(&mut self, selector: &str) -> u64 {
        let count = self.value(&format!("document.querySelectorAll('{selector}').length"));
        count.as_u64().expect("a number")
    }

    pub(crate) fn type_into(&mut self, id: &str, text: &str) {
        self.value(&format!("document.getElementById('{id}').focus()"));
        self.order("Input.insertText", json!({ "text": text }));
    }

    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1,
                           "mobile": false });
        self.order("Emulation.setDeviceMetricsOverride", size);
    }

    pub(crate) fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.order("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Leaves a screenshot where pictures are wanted.
    pub(crate) fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("TIDEGATE_PAGE_PICTURES").map(PathBuf::from) else {
            return;
        };
        let shot = self.order("Page.captureScreenshot", json!({ "format": "png" }));
        let png = STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("{name}.png")), png).expect("it can be written");
    }

    /// Nothing went wrong in the page, and it asked nobody else.
    pub(crate) fn quiet(&mut self) {
        assert_eq!(self.value("complaints"), json!([]));
        let own = format!("{}/page", self.address);
        let away: Vec<&String> = self
            .browser
            .requested
            .iter()
            .filter(|url| !url.starts_with(&own) && *url != "about:blank")
            .collect();
        assert!(away.is_empty(), "{away:?}");
    }
}

/// Reports of everything the scene has, each second, until the controller ends.
async fn live(mut world: World, scene: Scene) {
    let activator = world.activator().await;
    let ids: Vec<_> = (0..scene.revisions).map(|nth| revision(&format!("app-{nth:03}"))).collect();
    let mut instances: Vec<Vec<ReporterId>> = Vec::new();
    for (nth, id) in ids.iter().enumerate() {
        world.declare(id).await;
        let count = if nth == 0 { 3 } else { 1 };
        let mut of = Vec::new();
        for number in 0..count {
            let name = format!("{}{nth}-{number}", scene.instance);
            of.push(world.instance(id, &name).await);
        }
        instances.push(of);
    }
    world.follow(ROUTES).await;
    let mut every = tokio::time::interval(REPORT_EVERY);
    for second in 0_u32.. {
        every.tick().await;
        for (nth, id) in (0_u32..).zip(&ids) {
            let load = load(second, nth);
            let seen = world.handle.now().as_millis();
            let starts = match (second % 5, nth) {
                (0, 0) => {
                    let name = format!("{}0-{}", scene.instance, second % 3);
                    vec![cold_start(&name, seen, 200 + u64::from(second * 37 % 400))]
                }
                _ => Vec::new(),
            };
            world.activator_reports(activator, id, (load, starts)).await;
            let reporters = instances[nth as usize].clone();
            let share = u32::try_from(reporters.len()).expect("few");
            for reporter in reporters {
                let part = Load { in_flight: load.in_flight / share, ..Load::default() };
                world.report(reporter, part).await;
            }
        }
    }
}

/// Waves of different lengths, with a burst now and then.
fn load(second: u32, nth: u32) -> Load {
    let phase = f64::from(second + nth * 7) / f64::from(5 + nth % 11);
    let wave = (phase.sin() + 1.0) * f64::from(4 + nth % 9);
    let burst = if (second + nth) % 17 < 3 { 30.0 } else { 0.0 };
    let in_flight = (wave + burst) as u32;
    let waiting = in_flight.saturating_sub(25);
    Load { in_flight, waiting, ended: in_flight * 8, failed: in_flight / 20 }
}
