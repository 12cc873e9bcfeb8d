//! The machines that instances run on, and how people write them.

use serde_json::{Value, json};
use tidegate_words::{did_you_mean, excerpt, list, parse_seconds};

use crate::distribution::Distribution;
use crate::time::SimSpan;

/// A kind of machine that instances run on.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeModel {
    /// Its name in results; no two kinds share one.
    pub name: String,
    /// Instances one node holds.
    pub capacity: u32,
    /// Nodes at time zero, and never fewer.
    pub min: u32,
    /// Nodes at most.
    pub max: u32,
    /// From an instance's finding no room to a new node's being there.
    pub provisioning: Distribution,
    /// A node without instances for this long is removed.
    pub idle: SimSpan,
    /// GPUs of one node.
    pub gpus: u32,
    /// How many times as fast as `--service` says its instances serve.
    pub speed: f64,
    /// What an hour of one costs; `None` is what a node-hour costs.
    pub price_hour: Option<f64>,
    /// For how long it may be kept.
    pub tenure: Tenure,
}

/// For how long a node may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tenure {
    /// For as long as it is wanted.
    #[default]
    OnDemand,
    /// Until the provider takes it away.
    Spot,
}

impl Default for NodeModel {
    fn default() -> Self {
        NodeModel {
            name: "node".to_owned(),
            capacity: 1,
            min: 0,
            max: 1,
            provisioning: Distribution::Constant(SimSpan::from_secs(60)),
            idle: SimSpan::from_secs(600),
            gpus: 0,
            speed: 1.0,
            price_hour: None,
            tenure: Tenure::OnDemand,
        }
    }
}

/// How a kind of node is written.
const EXPECTED: &str = "expected [NAME: ]CAPACITY,MIN,MAX[,PROVISIONING] and perhaps price=, \
                        speed=, gpus=, idle= or spot behind blanks, as in \
                        'large: 10,1,20,const:60s price=0.4 speed=1.5'";

/// What may stand behind the numbers.
const KEYS: [&str; 5] = ["price", "speed", "gpus", "idle", "spot"];

/// Largest price or factor; more is a typing error.
const FACTOR_MAX: f64 = 1e9;

impl NodeModel {
    /// Reads `[NAME: ]CAPACITY,MIN,MAX[,PROVISIONING]` with `price=`, `speed=`, `gpus=`, `idle=` or
    /// `spot` behind blanks.
    ///
    /// # Errors
    ///
    /// What would be accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        // A law of times has a colon as well, but behind commas.
        let (name, rest) = match text.split_once(':') {
            Some((name, rest)) if !name.contains(',') => (name.trim(), rest),
            _ => ("node", text),
        };
        if name.is_empty() {
            return Err(format!("{EXPECTED}; found '{}'", excerpt(text)));
        }
        let mut words = rest.split_whitespace();
        let numbers = words.next().ok_or_else(|| EXPECTED.to_owned())?;
        let mut node = NodeModel { name: name.to_owned(), ..NodeModel::default() };
        node.read_numbers(numbers)?;
        for word in words {
            node.read_word(word)?;
        }
        Ok(node)
    }

    fn read_numbers(&mut self, text: &str) -> Result<(), String> {
        let mut parts = text.splitn(4, ',');
        let mut number = || parts.next().and_then(|part| part.trim().parse().ok()).ok_or(EXPECTED);
        (self.capacity, self.min, self.max) = (number()?, number()?, number()?);
        if self.capacity == 0 || self.max == 0 || self.min > self.max {
            return Err(format!("{EXPECTED}, with a capacity above 0 and MIN not above MAX"));
        }
        if let Some(law) = parts.next() {
            let read = |path: &str| std::fs::read_to_string(path);
            let law = Distribution::parse(law, &read);
            self.provisioning = law.map_err(|problem| problem.to_string())?;
        }
        Ok(())
    }

    fn read_word(&mut self, word: &str) -> Result<(), String> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || {
            let number = value.parse::<f64>().ok();
            number.filter(|number| (0.0..=FACTOR_MAX).contains(number)).ok_or_else(|| {
                format!("{}: expected a number from 0 to {FACTOR_MAX}", excerpt(word))
            })
        };
        match key {
            "spot" if value.is_empty() => self.tenure = Tenure::Spot,
            "price" => self.price_hour = Some(number()?),
            "speed" => {
                let speed = number()?;
                if speed == 0.0 {
                    return Err(format!("{}: expected a speed above 0", excerpt(word)));
                }
                self.speed = speed;
            }
            "gpus" => {
                let whole = |_| format!("{}: expected a whole number", excerpt(word));
                self.gpus = value.parse().map_err(whole)?;
            }
            "idle" => {
                let seconds = parse_seconds(value).map_err(|error| error.to_string())?;
                self.idle = SimSpan::from_secs_f64(seconds);
            }
            _ => {
                let hint = did_you_mean(key, KEYS);
                let found = excerpt(word);
                return Err(format!("expected {}, found '{found}'{hint}", list(KEYS)));
            }
        }
        Ok(())
    }

    /// The first thing about it that makes no sense, in words for the user.
    pub(crate) fn problem(&self) -> Option<String> {
        let name = &self.name;
        if self.capacity == 0 || self.min > self.max {
            return Some(format!(
                "nodes of kind `{name}`: expected a capacity above 0 and a minimum not above the \
                 maximum"
            ));
        }
        if !(self.speed > 0.0 && self.speed <= FACTOR_MAX) {
            return Some(format!("nodes of kind `{name}`: expected a speed above 0"));
        }
        None
    }

    /// As it stands in the settings of a result.
    pub(crate) fn described(&self) -> Value {
        json!({
            "name": self.name,
            "capacity": self.capacity,
            "min": self.min,
            "max": self.max,
            "provisioning": self.provisioning.to_string(),
            "idle_s": self.idle.as_secs_f64(),
            "gpus": self.gpus,
            "speed": self.speed,
            "price_hour": self.price_hour,
            "spot": self.tenure == Tenure::Spot,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_nodes_are_read() {
        let plain = NodeModel::parse("10,1,20").expect("parses");
        assert_eq!(
            (plain.name.as_str(), plain.capacity, plain.min, plain.max),
            ("node", 10, 1, 20)
        );
        let law = NodeModel::parse("10,1,20,uniform:50s,80s").expect("parses");
        assert_eq!(law.provisioning.to_string(), "uniform:50s,80s");
        let named = "large: 8,0,4,const:90s price=0.4 speed=1.5 gpus=8 idle=5m spot";
        let named = NodeModel::parse(named).expect("parses");
        assert_eq!((named.name.as_str(), named.gpus, named.speed), ("large", 8, 1.5));
        assert_eq!((named.price_hour, named.tenure), (Some(0.4), Tenure::Spot));
        assert_eq!(named.idle, SimSpan::from_secs(300));
    }

    #[test]
    fn mistakes_say_how_to_write_it() {
        for text in [
            "",
            "10",
            "0,1,2",
            "1,3,2",
            "a:",
            ": 1,1,1",
            "1,1,1 price=x",
            "1,1,1 speed=0",
            "1,1,1 gpu=1",
        ] {
            assert!(NodeModel::parse(text).expect_err(text).contains("expected"), "{text}");
        }
        let near = NodeModel::parse("1,1,1 prices=2").expect_err("there is no such key");
        assert!(near.contains("did you mean"), "{near}");
    }
}
