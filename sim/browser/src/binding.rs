//! What JavaScript sees: strings and bytes in, JSON out. Nothing is decided here.

use wasm_bindgen::prelude::wasm_bindgen;

use crate::question::{Question, ReadingOptions};
use crate::session::{self, Session};

/// Traffic that was read, ready for any number of questions.
#[wasm_bindgen]
pub struct Simulator {
    session: Session,
}

/// Memory asked of the browser at once. It grows by 64 kB at a time else, a thousand times in a run
/// of many revisions, and every time the browser looks for garbage. What is not used is not taken.
const RESERVED_BYTES: usize = 192 << 20;

/// Lets memory grow once, before anything needs it; what is given back is kept for what comes.
fn reserve() {
    let mut memory = Vec::<u8>::new();
    // Where there is not so much, less will do.
    let _reserved = memory.try_reserve_exact(RESERVED_BYTES);
    std::hint::black_box(&mut memory);
}

/// The settings that sliders turn, as JSON.
#[wasm_bindgen]
pub fn knobs() -> String {
    // Names and numbers are always JSON.
    serde_json::to_string(&crate::knobs::KNOBS).unwrap_or_default()
}

/// Whether a page holds a trace of `size` bytes: asked before it is read.
///
/// # Errors
///
/// A sentence, when it does not.
#[wasm_bindgen]
pub fn fits(name: &str, size: f64) -> Result<(), String> {
    session::fits(name, size as u64).map_err(|problem| problem.to_string())
}

#[wasm_bindgen]
impl Simulator {
    /// Reads the trace in `bytes`, which people know as `name`, as `options` (JSON) say.
    ///
    /// # Errors
    ///
    /// A sentence, when the trace or the options cannot be used.
    pub fn read(name: &str, bytes: Vec<u8>, options: &str) -> Result<Simulator, String> {
        reserve();
        let options = ReadingOptions::parse(options).map_err(|problem| problem.to_string())?;
        let session =
            Session::read(name, bytes, &options).map_err(|problem| problem.to_string())?;
        Ok(Simulator { session })
    }

    /// Makes traffic up, as `--arrivals` and `--duration` would; of `options` only the seed counts.
    ///
    /// # Errors
    ///
    /// A sentence, when the specification cannot be used.
    pub fn make_up(
        specification: &str,
        duration: &str,
        options: &str,
    ) -> Result<Simulator, String> {
        reserve();
        let options = ReadingOptions::parse(options).map_err(|problem| problem.to_string())?;
        let made = Session::make_up(specification, duration, options.seed);
        Ok(Simulator { session: made.map_err(|problem| problem.to_string())? })
    }

    /// What was read, as JSON: in words, and how much.
    pub fn about(&self) -> String {
        self.session.about()
    }

    /// SHA-256 of the trace.
    pub fn sha256(&self) -> String {
        self.session.sha256()
    }

    /// Simulates `question` (JSON) and answers with the data of a page.
    ///
    /// # Errors
    ///
    /// A sentence, when the settings cannot be used.
    pub fn simulate(&self, question: &str) -> Result<String, String> {
        let question = Question::parse(question).map_err(|problem| problem.to_string())?;
        self.session.simulate(&question).map_err(|problem| problem.to_string())
    }

    /// Simulates `question` as one point of the front, and answers with all points so far of the
    /// same other settings.
    ///
    /// # Errors
    ///
    /// A sentence, when the settings cannot be used.
    pub fn point(&mut self, question: &str) -> Result<String, String> {
        let question = Question::parse(question).map_err(|problem| problem.to_string())?;
        self.session.point(&question).map_err(|problem| problem.to_string())
    }
}
