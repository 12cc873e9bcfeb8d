//! The coefficient of the exponential weights.
//!
//! `k = max(1 - 0.0001^(1/n), 0.2)` for n buckets: the oldest bucket of a short window weighs a
//! ten-thousandth, and in a long window the newest weighs a fifth. The values are a table because
//! `pow` differs in the last bit from one platform's library to the next, and the same inputs
//! must give the same outputs everywhere.

/// The smallest coefficient; what every window of 42 buckets or more has.
const SMALLEST: f64 = 0.2;

/// Coefficients of 1 to 41 buckets.
const SHORT: [f64; 41] = [
    0.9999,
    0.99,
    0.9535841116638721,
    0.9,
    0.8415106807538886,
    0.7845565309968116,
    0.7317304204720274,
    0.683772233983162,
    0.6406186336195372,
    0.6018928294465027,
    0.5671238718916941,
    0.535841116638722,
    0.507611736829326,
    0.4820525320768788,
    0.45883047345353634,
    0.4376586748096509,
    0.41829086706256413,
    0.40051574968105896,
    0.3841517889339736,
    0.36904265551980675,
    0.3550533228962376,
    0.342066775342432,
    0.3299812496490411,
    0.31870793094203875,
    0.3081690290810636,
    0.29829617132961717,
    0.28902905676875645,
    0.28031432699884795,
    0.27210461560168486,
    0.2643577455403586,
    0.25703604924050527,
    0.2501057906675441,
    0.24353667244537114,
    0.23730141409765548,
    0.231375389960226,
    0.2257363173188729,
    0.22036398695947668,
    0.21524002964853872,
    0.21034771315002732,
    0.2056717652757185,
    0.20119821919842973,
];

/// The coefficient for `buckets` buckets, in 0.2..1; that of one bucket for none.
pub fn coefficient(buckets: usize) -> f64 {
    SHORT.get(buckets.saturating_sub(1)).copied().unwrap_or(SMALLEST)
}
