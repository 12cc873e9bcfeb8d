//! What things cost, in any currency.

use std::fmt;

use serde::{Deserialize, Serialize};
use tidegate_words::{did_you_mean, excerpt, list};

/// Prices; all of them zero means that nothing is priced.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Prices {
    /// For an instance alive for an hour.
    pub instance_hour: f64,
    /// For a gigabyte of memory held by an instance for an hour.
    pub gb_hour: f64,
    /// For an hour of a node of a kind that has no price of its own.
    pub node_hour: f64,
    /// For a GPU for an hour.
    pub gpu_hour: f64,
    /// For a million requests.
    pub million_requests: f64,
}

/// Most that anything may cost; more is a typing error.
const PRICE_MAX: f64 = 1e9;

/// The names of prices, as people write them.
const NAMES: [&str; 5] = ["instance-hour", "gb-hour", "node-hour", "gpu-hour", "million-requests"];

/// What is paid for, in the units of the prices.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bill {
    /// Hours of instances.
    pub instance_hours: f64,
    /// Gigabytes times hours.
    pub gb_hours: f64,
    /// Hours of nodes of kinds without a price of their own.
    pub node_hours: f64,
    /// Hours of GPUs.
    pub gpu_hours: f64,
    /// Requests.
    pub requests: u64,
}

impl Prices {
    /// Reads `WHAT=PRICE`, or several with commas between them.
    ///
    /// # Errors
    ///
    /// What would be accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut prices = Prices::default();
        for part in text.split(',') {
            let expected = || {
                format!(
                    "expected WHAT=PRICE, such as instance-hour=0.05, with one of {}; found '{}'",
                    list(NAMES),
                    excerpt(part)
                )
            };
            let (name, price) = part.split_once('=').ok_or_else(expected)?;
            let price = price.trim().parse::<f64>().ok();
            let price = price.filter(|price| (0.0..=PRICE_MAX).contains(price));
            let price = price.ok_or_else(|| {
                format!("{}: expected a price from 0 to {PRICE_MAX}", excerpt(part))
            })?;
            let name = name.trim();
            *prices
                .named(name)
                .ok_or_else(|| format!("{}{}", expected(), did_you_mean(name, NAMES)))? = price;
        }
        Ok(prices)
    }

    fn named(&mut self, name: &str) -> Option<&mut f64> {
        Some(match name {
            "instance-hour" => &mut self.instance_hour,
            "gb-hour" => &mut self.gb_hour,
            "node-hour" => &mut self.node_hour,
            "gpu-hour" => &mut self.gpu_hour,
            "million-requests" => &mut self.million_requests,
            _ => return None,
        })
    }

    fn all(self) -> [(f64, &'static str); 5] {
        [
            (self.instance_hour, "an instance-hour"),
            (self.gb_hour, "a GB-hour"),
            (self.node_hour, "a node-hour"),
            (self.gpu_hour, "a GPU-hour"),
            (self.million_requests, "a million requests"),
        ]
    }

    /// Whether anything has a price.
    pub fn are_given(self) -> bool {
        self.all().iter().any(|(price, _)| *price != 0.0)
    }

    /// These, and where they say nothing, those of `other`.
    #[must_use]
    pub fn or(self, other: Prices) -> Prices {
        let either = |mine: f64, theirs: f64| if mine == 0.0 { theirs } else { mine };
        Prices {
            instance_hour: either(self.instance_hour, other.instance_hour),
            gb_hour: either(self.gb_hour, other.gb_hour),
            node_hour: either(self.node_hour, other.node_hour),
            gpu_hour: either(self.gpu_hour, other.gpu_hour),
            million_requests: either(self.million_requests, other.million_requests),
        }
    }

    /// What `bill` costs.
    pub fn of(self, bill: &Bill) -> f64 {
        self.instance_hour * bill.instance_hours
            + self.gb_hour * bill.gb_hours
            + self.node_hour * bill.node_hours
            + self.gpu_hour * bill.gpu_hours
            + self.million_requests * bill.requests as f64 / 1e6
    }
}

impl fmt::Display for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let priced = self.all().into_iter().filter(|(price, _)| *price != 0.0);
        let words: Vec<String> = priced.map(|(price, what)| format!("{price} {what}")).collect();
        if words.is_empty() { Ok(()) } else { write!(f, "at {}", words.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_and_add_up() {
        let prices = Prices::parse("instance-hour=0.5, gb-hour=1,million-requests=0.25");
        let prices = prices.expect("they are prices");
        let bill =
            Bill { instance_hours: 2.0, gb_hours: 1.0, requests: 2_000_000, ..Bill::default() };
        assert_eq!(prices.of(&bill), 2.5);
        assert_eq!(
            prices.to_string(),
            "at 0.5 an instance-hour, 1 a GB-hour, 0.25 a million requests"
        );
        let more = Prices::parse("gpu-hour=2").expect("it is a price").or(prices);
        assert_eq!((more.gpu_hour, more.gb_hour), (2.0, 1.0));
        assert!(more.are_given() && !Prices::default().are_given());
    }

    #[test]
    fn mistakes_say_what_would_do() {
        for text in ["", "0.5", "instance-hour", "instance-hour=-1", "instance-hour=x"] {
            assert!(Prices::parse(text).expect_err(text).contains("expected"), "{text}");
        }
        let near = Prices::parse("instance-hours=1").expect_err("there is no such price");
        assert!(near.contains("instance-hour"), "{near}");
    }
}
